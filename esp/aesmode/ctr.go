package aesmode

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"culvert/esp/internal/aesgcm"
)

// A CTR is AES in counter mode. Its counter blocks are a nonce of 12 octets and a counter of four,
// which begins at 1 (RFC 3686, Section 4). It is safe for concurrent use.
//
// crypto/cipher's counter mode keeps the counter in an object, which would have to be made for each
// message. GCM encrypts with the same counter blocks from the second on: its first block, that of
// counter 1, hides the tag (NIST SP 800-38D, Section 7.1). So a long text is encrypted by GCM, but
// for its ends, and the tag is thrown away: with instructions for both, GCM is faster than counter
// mode without them.
type CTR struct {
	block cipher.Block
	gcm   cipher.AEAD
}

// NewCTR returns AES in counter mode with a key of 16, 24 or 32 octets.
func NewCTR(key []byte) (*CTR, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := aesgcm.New(key)
	return &CTR{block, gcm}, err
}

// XOR encrypts or decrypts text in place. No nonce may serve two texts under one key.
//
//	|  block 1  |  by GCM: whole blocks  |  16 to 31 octets  |
//	|  single   |                        | tag, then single  |
func (c *CTR) XOR(w *Work, nonce, text []byte) {
	head, middle := min(len(text), blockLen), 0
	if rest := len(text) - head - blockLen; rest >= blockLen {
		middle = rest &^ (blockLen - 1)
		tail := text[head+middle:]
		copy(w.tail[:], tail)
		copy(w.nonce[:], nonce)
		c.gcm.Seal(text[head:head], w.nonce[:], text[head:][:middle], nil)
		copy(tail, w.tail[:])
	}
	copy(w.counter[:], nonce[:nonceLen])
	c.single(w, 1, text[:head])
	c.single(w, 2+uint32(middle)/blockLen, text[head+middle:])
}

// single encrypts block by block, from a counter on. w.counter has the nonce.
func (c *CTR) single(w *Work, counter uint32, text []byte) {
	for ; len(text) > 0; counter++ {
		binary.BigEndian.PutUint32(w.counter[nonceLen:], counter)
		c.block.Encrypt(w.stream[:], w.counter[:])
		text = text[subtle.XORBytes(text, text, w.stream[:]):]
	}
}

// Clear wipes the key as far as the cipher supports it. No goroutine may use c any more.
func (c *CTR) Clear() { wipe(c.gcm) }

// wipe wipes the key of a cipher that supports it.
func wipe(a cipher.AEAD) {
	if w, ok := a.(interface{ Clear() }); ok {
		w.Clear()
	}
}
