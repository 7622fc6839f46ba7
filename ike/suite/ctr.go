package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math"
	"slices"
)

// ctrBox is AES-CTR with an HMAC over the encrypted message (RFC 5930; RFC 4868).
type ctrBox struct {
	block cipher.Block
	mac
	salt []byte // called nonce there (RFC 5930, Section 2.2)
	next uint64 // the next IV, of which none may come twice (RFC 3686, Section 2.1)
}

func newCTRBox(e encryption, i integrity, ske, ska []byte) (*ctrBox, error) {
	n := len(ske) - e.salt
	block, err := aes.NewCipher(ske[:n])
	if err != nil {
		return nil, err
	}
	return &ctrBox{block: block, mac: newMAC(i, ska), salt: bytes.Clone(ske[n:])}, nil
}

// sealedLen counts one octet for the pad length and no padding: counter mode needs no alignment.
func (b *ctrBox) sealedLen(n int) int { return ivLen + n + 1 + b.icvLen }

func (b *ctrBox) maxPlain(room int) int { return room - b.sealedLen(0) }

// xor encrypts or decrypts text into dst. Counter blocks are nonce, IV and a counter from 1 on (RFC
// 3686, Section 4).
func (b *ctrBox) xor(dst, text, iv []byte) {
	cipher.NewCTR(b.block, slices.Concat(b.salt, iv, []byte{0, 0, 0, 1})).XORKeyStream(dst, text)
}

func (b *ctrBox) seal(dst, plain []byte) ([]byte, error) {
	if b.next == math.MaxUint64 {
		return nil, ErrExhausted
	}
	ivAt := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, b.next)
	b.next++
	dst = append(append(dst, plain...), 0)
	text := dst[ivAt+ivLen:]
	b.xor(text, text, dst[ivAt:][:ivLen])
	return append(dst, b.icv(dst)...), nil
}

// open compares the ICV in constant time, and decrypts only if it is right.
func (b *ctrBox) open(head, body []byte) ([]byte, bool, error) {
	icvAt := len(body) - b.icvLen
	if icvAt < ivLen || !b.authentic(head, body) {
		return nil, false, ErrAuth
	}
	padded := make([]byte, icvAt-ivLen)
	b.xor(padded, body[ivLen:icvAt], body[:ivLen])
	return padded, true, nil
}
