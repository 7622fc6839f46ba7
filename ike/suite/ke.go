package suite

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"culvert/ike/wire"
)

// keMethod is a key exchange method: the length of its Key Exchange Data, and how to begin one.
type keMethod struct {
	publicSize int
	make       func() (KeyExchange, error)
}

// keMethodOf is the table of the key exchange methods: Curve25519 (RFC 8031), the random ECP groups (RFC 5903) and the MODP groups
// (RFC 3526). MODP-1024 and 1536 are left out: they are too weak to be had at all.
func keMethodOf(group wire.TransformID) (keMethod, bool) {
	switch group {
	case wire.GroupX25519:
		return ecdhMethod(ecdh.X25519(), 32, false), true
	case wire.GroupECP256:
		return ecdhMethod(ecdh.P256(), 2*32, true), true
	case wire.GroupECP384:
		return ecdhMethod(ecdh.P384(), 2*48, true), true
	case wire.GroupECP521:
		return ecdhMethod(ecdh.P521(), 2*66, true), true
	}
	if g, ok := modpGroups[group]; ok {
		return keMethod{g.bits / 8, g.generate}, true
	}
	return keMethod{}, false
}

// GroupKnown says whether NewKE knows the method.
func GroupKnown(group wire.TransformID) bool {
	_, ok := keMethodOf(group)
	return ok
}

// PublicSize is the length of the method's Key Exchange Data in octets; zero for a method that is not known.
func PublicSize(group wire.TransformID) int {
	m, _ := keMethodOf(group)
	return m.publicSize
}

// NewKE is a KEMaker with the system's randomness: crypto/ecdh takes no other.
func NewKE(group wire.TransformID) (KeyExchange, error) {
	m, ok := keMethodOf(group)
	if !ok {
		return nil, fmt.Errorf("key exchange method %s is not known", wire.GroupName(group))
	}
	return m.make()
}

// errKELength is a peer's Key Exchange Data of the wrong length.
func errKELength(got, want int) error {
	return fmt.Errorf("key exchange data of %d octets where the method has %d", got, want)
}

var errSpent = errors.New("this key exchange was used before")

// ecdhKE is an elliptic curve key exchange.
type ecdhKE struct {
	private *ecdh.PrivateKey // nil once used
	public  []byte
	point   bool // the public value is a point
}

// uncompressed is the first octet of a point in the encoding of SEC 1, which IKE leaves out: "the Diffie-Hellman public value [is] obtained by
// concatenating the x and y values" (RFC 5903, Section 7).
const uncompressed = 4

func ecdhMethod(curve ecdh.Curve, publicSize int, point bool) keMethod {
	return keMethod{publicSize, func() (KeyExchange, error) {
		private, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("key exchange: %w", err)
		}
		return newECDH(private, point), nil
	}}
}

func newECDH(private *ecdh.PrivateKey, point bool) *ecdhKE {
	public := private.PublicKey().Bytes()
	if point {
		public = public[1:]
	}
	return &ecdhKE{private, public, point}
}

func (k *ecdhKE) Public() []byte { return k.public }

// Shared refuses a point that is not on the curve (RFC 6989, Section 2.3) and, with Curve25519, a result of zeros (RFC 8031, Section 2).
// The secret of a point is its x coordinate alone (RFC 5903, Section 7).
func (k *ecdhKE) Shared(peer []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errSpent
	}
	if len(peer) != len(k.public) {
		return nil, errKELength(len(peer), len(k.public))
	}
	if k.point {
		peer = append([]byte{uncompressed}, peer...)
	}
	public, err := k.private.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("the peer's key exchange data: %w", err)
	}
	shared, err := k.private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("the peer's key exchange data: %w", err)
	}
	k.private = nil
	return shared, nil
}
