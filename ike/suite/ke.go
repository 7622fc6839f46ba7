package suite

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"culvert/ike/wire"
)

// keMethod is a key exchange method: the length of its Key Exchange Data in octets, its
// constructor, and the check of the data that precedes every computation.
type keMethod struct {
	publicSize int
	make       func() (KeyExchange, error)
	check      func(public []byte) error
}

// keMethodOf looks up a key exchange method: Curve25519 and Curve448 (RFC 8031), the random ECP
// groups (RFC 5903) or the MODP groups (RFC 3526).
func keMethodOf(group wire.TransformID) (keMethod, bool) {
	switch group {
	case wire.GroupX25519:
		return ecdhMethod(ecdh.X25519(), 32, false), true
	case wire.GroupX448:
		return x448Method, true
	case wire.GroupECP256:
		return ecdhMethod(ecdh.P256(), 2*32, true), true
	case wire.GroupECP384:
		return ecdhMethod(ecdh.P384(), 2*48, true), true
	case wire.GroupECP521:
		return ecdhMethod(ecdh.P521(), 2*66, true), true
	}
	if g, ok := modpGroups[group]; ok {
		return keMethod{g.bits / 8, g.generate, g.check}, true
	}
	return keMethod{}, false
}

// GroupKnown reports whether NewKE supports the method.
func GroupKnown(group wire.TransformID) bool {
	_, ok := keMethodOf(group)
	return ok
}

// PublicSize returns the length of the method's Key Exchange Data in octets; zero if it is not
// supported.
func PublicSize(group wire.TransformID) int {
	m, _ := keMethodOf(group)
	return m.publicSize
}

// SystemGroups are all supported methods, with the system's randomness.
type SystemGroups struct{}

// New implements Groups.
func (SystemGroups) New(group wire.TransformID) (KeyExchange, error) { return NewKE(group) }

// Check implements Groups.
func (SystemGroups) Check(group wire.TransformID, public []byte) error {
	m, ok := keMethodOf(group)
	if !ok {
		return errGroup(group)
	}
	return m.check(public)
}

// dearBits is the length of the primes, in bits, from which a MODP group is dear: an exponentiation
// takes about a millisecond with 2048 bits, and several with 3072.
const dearBits = 3072

// Dear implements Groups.
func (SystemGroups) Dear(group wire.TransformID) bool {
	g, ok := modpGroups[group]
	return ok && g.bits >= dearBits
}

// NewKE returns a fresh KeyExchange of a method. It uses the system's randomness, since crypto/ecdh
// does not accept another source.
func NewKE(group wire.TransformID) (KeyExchange, error) {
	m, ok := keMethodOf(group)
	if !ok {
		return nil, errGroup(group)
	}
	return m.make()
}

func errGroup(group wire.TransformID) error {
	return fmt.Errorf("key exchange method %s is not supported", wire.GroupName(group))
}

// errKELength returns the error for Key Exchange Data of the wrong length.
func errKELength(got, want int) error {
	return fmt.Errorf("the peer's key exchange data has %d octets, want %d", got, want)
}

var errSpent = errors.New("the key exchange has already been used")

// ecdhKE is an elliptic curve key exchange.
type ecdhKE struct {
	private *ecdh.PrivateKey // nil once used
	public  []byte
	point   bool // the public value is a point
}

// uncompressed is the first octet of a point in the encoding of SEC 1. IKE omits it: "the
// Diffie-Hellman public value [is] obtained by concatenating the x and y values" (RFC 5903, Section
// 7).
const uncompressed = 4

func ecdhMethod(curve ecdh.Curve, publicSize int, point bool) keMethod {
	return keMethod{publicSize, func() (KeyExchange, error) {
		private, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("key exchange: %w", err)
		}
		return newECDH(private, point), nil
	}, func(public []byte) error {
		if len(public) != publicSize {
			return errKELength(len(public), publicSize)
		}
		if !point && allZero(public) {
			return errSmallOrder
		}
		_, err := peerKey(curve, public, point)
		return err
	}}
}

// errSmallOrder is the error for zero on Curve25519 and Curve448, and for the other points of small
// order, which Shared finds by their result.
var errSmallOrder = errors.New("the peer's key exchange data is a point of small order")

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// peerKey returns the peer's public key. A point must be on the curve (RFC 6989, Section 2.3).
func peerKey(curve ecdh.Curve, public []byte, point bool) (*ecdh.PublicKey, error) {
	if point {
		public = append([]byte{uncompressed}, public...)
	}
	key, err := curve.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("the peer's key exchange data: %w", err)
	}
	return key, nil
}

func newECDH(private *ecdh.PrivateKey, point bool) *ecdhKE {
	public := private.PublicKey().Bytes()
	if point {
		public = public[1:]
	}
	return &ecdhKE{private, public, point}
}

func (k *ecdhKE) Public() []byte { return k.public }

// Shared refuses a point that is not on the curve (RFC 6989, Section 2.3) and, with Curve25519, an
// all-zero result (RFC 8031, Section 2). The secret of a point is its x coordinate alone (RFC 5903,
// Section 7).
func (k *ecdhKE) Shared(peer []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errSpent
	}
	if len(peer) != len(k.public) {
		return nil, errKELength(len(peer), len(k.public))
	}
	public, err := peerKey(k.private.Curve(), peer, k.point)
	if err != nil {
		return nil, err
	}
	shared, err := k.private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("the peer's key exchange data: %w", err)
	}
	k.private = nil
	return shared, nil
}
