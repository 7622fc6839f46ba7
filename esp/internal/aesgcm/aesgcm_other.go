//go:build !amd64

package aesgcm

import "crypto/cipher"

// best returns generic: Go's own assembly is the fastest implementation here.
func best() engine { return generic }

func newVector(key []byte, _ engine) (cipher.AEAD, error) { return newGeneric(key) }

// Fetch does nothing: there is no cipher in assembly.
func Fetch(any) {}
