//go:build !amd64

package aesgcm

import "crypto/cipher"

// supported returns false: Go's own assembly is the fastest implementation here.
func supported() bool { return false }

func newVector(key []byte) (cipher.AEAD, error) { return newGeneric(key) }
