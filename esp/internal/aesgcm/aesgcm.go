// Package aesgcm is AES-GCM (NIST SP 800-38D) with nonces of 12 octets and tags of 16, as ESP uses it (RFC 4106), at the speed of the vector instructions for AES and carry-less
// multiplication: VAES and VPCLMULQDQ, which process two blocks at once where crypto/cipher takes one.
// Processors without them, other architectures, and programs in FIPS 140 mode get crypto/cipher.
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

// Environment is the variable that, set to "generic" when the program starts, has crypto/cipher used everywhere.
const Environment = "CULVERT_AESGCM"

// fast says whether New makes the vector implementation.
var fast = supported() && !fips140.Enabled() && os.Getenv(Environment) != "generic"

// Fast says whether New makes the vector implementation. It is the same as long as the program runs.
func Fast() bool { return fast }

// New is AES-GCM with a key of 16, 24 or 32 octets, of which it keeps nothing but what is expanded from it; any other length is an aes.KeySizeError. What it returns is safe for concurrent
// use and has crypto/cipher's contract: what may overlap, what panics, and that an output that is not authentic is cleared. If it has a
// method Clear, that wipes the key: it is for when no goroutine can be using it any more. A key that is only forgotten is wiped when the collector finds that out.
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
