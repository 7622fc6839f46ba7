package suite

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"math"
	"slices"
)

// ivLen is the length of the explicit IV of the AEADs and of AES-CTR (RFC 5282, Section 4; RFC
// 7634, Section 2; RFC 5930, Section 2).
const ivLen = 8

// aeadBox is AES-GCM, AES-CCM or ChaCha20-Poly1305.
type aeadBox struct {
	aead cipher.AEAD
	salt []byte
	next uint64 // the next IV: a counter cannot repeat, random IVs could (RFC 5282, Section 3.1)
}

func newAEADBox(e encryption, key []byte) (*aeadBox, error) {
	n := len(key) - e.salt
	aead, err := e.aead(key[:n])
	if err != nil {
		return nil, err
	}
	return &aeadBox{aead: aead, salt: bytes.Clone(key[n:])}, nil
}

// sealedLen counts one octet for the pad length and no padding: AEADs need no alignment (RFC 5282,
// Section 3).
func (b *aeadBox) sealedLen(n int) int { return ivLen + n + 1 + b.aead.Overhead() }

func (b *aeadBox) maxPlain(room int) int { return room - b.sealedLen(0) }

// nonce returns the salt followed by the IV (RFC 5282, Section 4).
func (b *aeadBox) nonce(iv []byte) []byte { return slices.Concat(b.salt, iv) }

func (b *aeadBox) seal(dst, plain []byte) ([]byte, error) {
	if b.next == math.MaxUint64 {
		return nil, ErrExhausted
	}
	head := dst
	dst = binary.BigEndian.AppendUint64(dst, b.next)
	b.next++
	nonce := b.nonce(dst[len(head):])
	start := len(dst)
	dst = append(append(dst, plain...), 0)
	return b.aead.Seal(dst[:start], nonce, dst[start:], head), nil
}

func (b *aeadBox) open(head, body []byte) ([]byte, bool, error) {
	if len(body) < ivLen+b.aead.Overhead() {
		return nil, false, ErrAuth
	}
	padded, err := b.aead.Open(nil, b.nonce(body[:ivLen]), body[ivLen:], head)
	if err != nil {
		return nil, false, ErrAuth
	}
	return padded, true, nil
}
