package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
)

// cbcBox is AES-CBC with an HMAC over the encrypted message (RFC 7296, Section 3.14; RFC 3602; RFC
// 4868).
type cbcBox struct {
	block cipher.Block
	mac
	rand io.Reader
}

func newCBCBox(i integrity, ske, ska []byte, rand io.Reader) (*cbcBox, error) {
	block, err := aes.NewCipher(ske)
	if err != nil {
		return nil, err
	}
	return &cbcBox{block, newMAC(i, ska), rand}, nil
}

func (b *cbcBox) sealedLen(n int) int {
	size := b.block.BlockSize()
	blocks := (n + 1 + size - 1) / size // with an octet for the pad length
	return size + blocks*size + b.icvLen
}

func (b *cbcBox) maxPlain(room int) int {
	size := b.block.BlockSize()
	return (room-b.icvLen-size)/size*size - 1
}

// seal draws a random IV for each message: the IV of CBC must be unpredictable.
func (b *cbcBox) seal(dst, plain []byte) ([]byte, error) {
	size := b.block.BlockSize()
	ivAt := len(dst)
	dst = append(dst, make([]byte, size)...)
	iv := dst[ivAt:]
	if _, err := io.ReadFull(b.rand, iv); err != nil {
		return nil, fmt.Errorf("generating an IV: %w", err)
	}
	padding := size - 1 - len(plain)%size
	dst = append(dst, plain...)
	dst = append(dst, make([]byte, padding)...)
	dst = append(dst, byte(padding))
	encrypted := dst[ivAt+size:]
	cipher.NewCBCEncrypter(b.block, iv).CryptBlocks(encrypted, encrypted)
	return append(dst, b.icv(dst)...), nil
}

// open compares the ICV in constant time, and decrypts only if it is right.
func (b *cbcBox) open(head, body []byte) ([]byte, bool, error) {
	size, icvAt := b.block.BlockSize(), len(body)-b.icvLen
	if icvAt < size || !b.authentic(head, body) {
		return nil, false, ErrAuth
	}
	encrypted := body[size:icvAt]
	if len(encrypted)%size != 0 {
		return nil, false, nil
	}
	padded := make([]byte, len(encrypted))
	cipher.NewCBCDecrypter(b.block, body[:size]).CryptBlocks(padded, encrypted)
	return padded, true, nil
}
