// Package aesmode implements modes of AES that crypto/cipher lacks, or has only with an allocation
// for each message: counter mode (RFC 3686), CBC (RFC 3602), CCM (RFC 4309) and GCM with short tags
// (RFC 4106). All work in place, on messages that are whole in memory.
package aesmode

import "crypto/cipher"

const (
	blockLen = 16
	nonceLen = 12 // of counter blocks before the counter
)

// A Work is one goroutine's working space. It saves allocations for each message, since its octets
// are passed through interfaces. The zero value is ready; it serves any key, one call at a time.
type Work struct {
	nonce   [nonceLen]byte
	counter [blockLen]byte
	stream  [blockLen]byte
	mac     [blockLen]byte
	tail    [blockLen]byte
	text    []byte // grows with the longest message
	again   []byte
}

// A Mode authenticates and encrypts. It is safe for concurrent use with a Work for each goroutine.
type Mode interface {
	NonceLen() int
	TagLen() int
	// Seal encrypts text in place and writes its tag, of TagLen octets, to tag. No nonce may serve
	// two texts under one key.
	Seal(w *Work, nonce, text, aad, tag []byte)
	// Open decrypts text in place, and reports whether it is authentic. If it is not, text is not
	// the plaintext.
	Open(w *Work, nonce, text, aad, tag []byte) bool
}

// AEAD returns the mode with crypto/cipher's interface. It allocates for each message.
func AEAD(m Mode) cipher.AEAD { return aead{m} }

type aead struct{ Mode }

func (a aead) NonceSize() int { return a.NonceLen() }

func (a aead) Overhead() int { return a.TagLen() }

func (a aead) Seal(dst, nonce, plaintext, additionalData []byte) []byte {
	begin, n := len(dst), len(plaintext)
	out := append(append(dst, plaintext...), make([]byte, a.TagLen())...)
	a.Mode.Seal(new(Work), nonce, out[begin:][:n], additionalData, out[begin+n:])
	return out
}

func (a aead) Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error) {
	n := len(ciphertext) - a.TagLen()
	if n < 0 {
		return nil, errOpen
	}
	begin := len(dst)
	out := append(dst, ciphertext[:n]...)
	if !a.Mode.Open(new(Work), nonce, out[begin:], additionalData, ciphertext[n:]) {
		clear(out[begin:])
		return nil, errOpen
	}
	return out, nil
}
