package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
)

// Bounds of RSA keys, of ours and of what peers send. The time for a signature grows with the cube
// of the length, that of its verification with the square, and with the exponent.
const (
	MinRSABits     = 2048 // RFC 8247, Section 3.1.1
	MaxRSABits     = 8192
	maxRSAExponent = 65537
)

// CheckKey returns why a public key is not used to verify signatures, or nil. The error continues a
// sentence that begins with what the key belongs to.
func CheckKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(key)
	case *ecdsa.PublicKey:
		if _, ok := curves[key.Curve]; ok {
			return nil
		}
		return fmt.Errorf("has an ECDSA key on the curve %s; use P-256, P-384 or P-521", key.Curve.Params().Name)
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fmt.Errorf("has a key of an unsupported kind (%T); use RSA, ECDSA or Ed25519", key)
}

func checkRSA(key *rsa.PublicKey) error {
	switch n := key.N.BitLen(); {
	case n < MinRSABits:
		return fmt.Errorf("has an RSA key of %d bits, which is too short; use at least %d", n, MinRSABits)
	case n > MaxRSABits:
		return fmt.Errorf("has an RSA key of %d bits, which takes too long to verify; use at most %d", n, MaxRSABits)
	case key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 || key.E > maxRSAExponent:
		return fmt.Errorf("has an RSA key with an unusual modulus or exponent (%d); use the exponent 65537", key.E)
	}
	return nil
}

// curve is what the old methods fix for a curve (RFC 4754, Section 3).
type curve struct {
	method byte
	hash   Hash
	size   int // of r and s in octets
}

var curves = map[elliptic.Curve]curve{
	elliptic.P256(): {9, SHA256, 32},
	elliptic.P384(): {10, SHA384, 48},
	elliptic.P521(): {11, SHA512, 66},
}

// KeyName returns the kind of a public key for people, such as "RSA-3072" or "Ed25519".
func KeyName(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", key)
}

// equal reports whether two public keys are the same.
func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
