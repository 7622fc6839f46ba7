// Package aesgcm implements AES-GCM (NIST SP 800-38D) with nonces of 12 octets and tags of 16, as
// ESP uses it (RFC 4106). It uses the vector instructions for AES and carry-less multiplication,
// VAES and VPCLMULQDQ, which process two blocks at once; crypto/cipher processes one. Processors
// without them, other architectures, and programs in FIPS 140 mode get crypto/cipher.
package aesgcm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"os"
)

const (
	blockLen = 16
	nonceLen = 12
	tagLen   = 16
)

// Environment is the environment variable that, if it is "generic" at the program's start, selects
// crypto/cipher everywhere.
const Environment = "CULVERT_AESGCM"

// fast reports whether New uses the vector implementation.
var fast = supported() && !fips140.Enabled() && os.Getenv(Environment) != "generic"

// Fast reports whether New uses the vector implementation. The result does not change while the
// program runs.
func Fast() bool { return fast }

// New returns AES-GCM with a key of 16, 24 or 32 octets; any other length is an aes.KeySizeError.
// It keeps only the expanded key. The result is safe for concurrent use and has crypto/cipher's
// contract: which buffers may overlap, what panics, and that unauthentic output is cleared. If it
// has a method Clear, that method wipes the key; call it only when no goroutine can use the key any
// more. A key without references is wiped when the garbage collector finds it.
func New(key []byte) (cipher.AEAD, error) {
	if fast {
		return newVector(key)
	}
	return newGeneric(key)
}

func newGeneric(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
