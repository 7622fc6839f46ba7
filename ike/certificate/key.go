package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
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
		if smallOrder(key) {
			return errors.New("has an Ed25519 key for which everybody can make signatures; replace it")
		}
		if len(key) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fmt.Errorf("has a key of an unsupported kind (%T); use RSA, ECDSA or Ed25519", key)
}

// smallOrders are the Ed25519 keys of small order, without the sign of x: the y of the points whose
// order divides 8, and two of them again, not reduced. Signatures that verify by such a key need no
// private one (RFC 8032, Section 5.1.7, does not exclude them).
var smallOrders = [][]byte{
	append([]byte{0}, make([]byte, 31)...),
	append([]byte{1}, make([]byte, 31)...),
	slices.Concat([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}),
	slices.Concat([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}),
	slices.Concat([]byte{0xee}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}),
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
}

// smallOrder reports whether an Ed25519 key is one of the smallOrders.
func smallOrder(key ed25519.PublicKey) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	y := bytes.Clone(key)
	y[len(y)-1] &= 0x7f
	return slices.ContainsFunc(smallOrders, func(s []byte) bool { return bytes.Equal(y, s) })
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
