//go:build !amd64

package aesgcm

import "crypto/cipher"

// supported: Go's own assembly is the fastest that there is here.
func supported() bool { return false }

func newVector(key []byte) (cipher.AEAD, error) { return newGeneric(key) }
