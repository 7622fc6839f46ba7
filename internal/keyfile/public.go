package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// Bounds of the modulus of an RSA key in bits. Smaller ones are weak; larger ones take a second and
// more to verify, which whoever sends a certificate would have us pay.
const (
	minRSA = 2048
	maxRSA = 8192
)

// CheckPublic returns an error if signatures of the key are not accepted: RSA keys have 2048 to
// 8192 bits, ECDSA keys are on the curves P-256, P-384 or P-521, and there is Ed25519.
func CheckPublic(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("the RSA key has %d bits; use a key of %d to %d bits", bits, minRSA, maxRSA)
		}
		if k.E < 3 || k.E%2 == 0 {
			return fmt.Errorf("the RSA key has the public exponent %d; use a key with 65537", k.E)
		}
		return nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("the ECDSA key is on %s; use a key on P-256, P-384 or P-521", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	}
	return errors.New("the kind of key is not supported; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")
}

// describe returns the kind of a key and the beginning of the SHA-256 of its public half.
func describe(pub crypto.PublicKey) string {
	kind := "key"
	switch k := pub.(type) {
	case *rsa.PublicKey:
		kind = fmt.Sprintf("RSA key of %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		kind = "ECDSA key on " + k.Curve.Params().Name
	case ed25519.PublicKey:
		kind = "Ed25519 key"
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return kind
	}
	sum := sha256.Sum256(der)
	return fmt.Sprintf("%s (SHA-256 %x...)", kind, sum[:6])
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
	return pub, CheckPublic(pub)
}
