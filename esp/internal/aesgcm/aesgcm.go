// Package aesgcm implements AES-GCM (NIST SP 800-38D) with nonces of 12 octets and tags of 16, as
// ESP uses it (RFC 4106). On amd64 it uses the instructions for AES and carry-less multiplication:
// VAES and VPCLMULQDQ, which process two blocks at once, and four in long texts where AVX-512 is
// there as well, or else AES-NI and PCLMULQDQ, which process one. The latter beat crypto/cipher
// with the same instructions, above all for short texts. Processors without them, other
// architectures, and programs in FIPS 140 mode get crypto/cipher.
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

// Environment is the environment variable that, at the program's start, selects a slower
// implementation than the fastest that the processor supports: "vaes", "aesni" or "generic", which
// is crypto/cipher. Where the processor does not support what it selects, the next slower one that
// it supports is used. "avx512" is the fastest, as is anything else.
const Environment = "CULVERT_AESGCM"

// engine is an implementation of AES-GCM. Higher ones are faster, and a processor that supports one
// supports all below it.
type engine int

const (
	generic engine = iota // crypto/cipher
	aesni                 // assembly on XMM registers
	vaes                  // assembly on YMM registers
	avx512                // the same, with long texts on ZMM registers
)

// chosen is what New uses.
var chosen = choose(best(), os.Getenv(Environment), fips140.Enabled())

// choose returns what New uses on a processor that supports best and all below.
func choose(best engine, wanted string, fips bool) engine {
	switch {
	case fips, wanted == "generic":
		return generic
	case wanted == "aesni":
		return min(best, aesni)
	case wanted == "vaes":
		return min(best, vaes)
	}
	return best
}

// Fast reports whether New uses an implementation in assembly of this package. The result does not
// change while the program runs.
func Fast() bool { return chosen != generic }

// New returns AES-GCM with a key of 16, 24 or 32 octets; any other length is an aes.KeySizeError.
// It keeps only the expanded key. The result is safe for concurrent use and has crypto/cipher's
// contract: which buffers may overlap, what panics, and that unauthentic output is cleared. If it
// has a method Clear, that method wipes the key; call it only when no goroutine can use the key any
// more. A key without references is wiped when the garbage collector finds it.
func New(key []byte) (cipher.AEAD, error) {
	return chosen.new(key)
}

func (e engine) new(key []byte) (cipher.AEAD, error) {
	if e == generic {
		return newGeneric(key)
	}
	return newVector(key, e)
}

func newGeneric(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
