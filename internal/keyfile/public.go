package keyfile

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"culvert/ike/certificate"
)

// describe returns the kind of a key and the beginning of the SHA-256 of its public half.
func describe(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return certificate.KeyName(pub)
	}
	sum := sha256.Sum256(der)
	return fmt.Sprintf("%s (SHA-256 %x...)", certificate.KeyName(pub), sum[:6])
}

// same reports whether two public keys are the same.
func same(a, b crypto.PublicKey) bool {
	x, errX := x509.MarshalPKIXPublicKey(a)
	y, errY := x509.MarshalPKIXPublicKey(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// parsePublic returns a public key from DER: SubjectPublicKeyInfo (RFC 5280, Section 4.1) or
// RSAPublicKey (RFC 8017, Appendix A.1.1).
func parsePublic(der []byte) (crypto.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		if k, rsaErr := x509.ParsePKCS1PublicKey(der); rsaErr == nil {
			pub, err = k, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the public key cannot be read: %w", err)
	}
	return pub, checkKey("public", pub)
}

// checkKey returns an error if signatures by the key are not supported. half is which half of it
// was read.
func checkKey(half string, pub crypto.PublicKey) error {
	if err := certificate.CheckKey(pub); err != nil {
		return fmt.Errorf("the %s key %w", half, err)
	}
	return nil
}
