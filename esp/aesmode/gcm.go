package aesmode

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"

	"culvert/esp/internal/aesgcm"
)

// shortGCM is AES-GCM with a tag that is cut (NIST SP 800-38D, Section 5.2.1.2), by one that has
// the whole. crypto/cipher cuts none to less than 12 octets, and the faster one none at all.
type shortGCM struct {
	gcm    cipher.AEAD
	tagLen int
}

// NewShortGCM returns AES-GCM with a key of 16, 24 or 32 octets, nonces of 12 octets and tags of 8
// or 12.
func NewShortGCM(key []byte, tagLen int) (Mode, error) {
	if tagLen != 8 && tagLen != 12 {
		return nil, fmt.Errorf("aesmode: short GCM with a tag of %d octets", tagLen)
	}
	gcm, err := aesgcm.New(key)
	return &shortGCM{gcm, tagLen}, err
}

func (g *shortGCM) NonceLen() int { return nonceLen }

func (g *shortGCM) TagLen() int { return g.tagLen }

// Clear wipes the key as far as the cipher supports it.
func (g *shortGCM) Clear() { wipe(g.gcm) }

func (g *shortGCM) Seal(w *Work, nonce, text, aad, tag []byte) {
	w.text = g.gcm.Seal(w.text[:0], nonce, text, aad)
	n := copy(text, w.text)
	copy(tag[:g.tagLen], w.text[n:])
}

// Open finds the whole tag by sealing the plaintext again. To find the plaintext, it seals the
// ciphertext: both directions of counter mode are the same.
func (g *shortGCM) Open(w *Work, nonce, text, aad, tag []byte) bool {
	n := len(text)
	w.text = g.gcm.Seal(w.text[:0], nonce, text, nil)
	w.again = g.gcm.Seal(w.again[:0], nonce, w.text[:n], aad)
	if subtle.ConstantTimeCompare(w.again[n:][:g.tagLen], tag) != 1 {
		clear(w.text)
		clear(text)
		return false
	}
	copy(text, w.text)
	return true
}
