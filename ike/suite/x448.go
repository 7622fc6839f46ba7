package suite

import (
	"crypto/rand"
	"fmt"

	"github.com/cloudflare/circl/dh/x448"
)

// x448Method is Curve448 (RFC 8031), which crypto/ecdh lacks.
var x448Method = keMethod{x448.Size, generateX448, checkX448}

// x448KE is a key exchange with Curve448.
type x448KE struct {
	private *x448.Key // nil once used
	public  x448.Key
}

func generateX448() (KeyExchange, error) {
	var private x448.Key
	if _, err := rand.Read(private[:]); err != nil {
		return nil, fmt.Errorf("key exchange: %w", err)
	}
	return newX448(&private), nil
}

// newX448 takes the private key, 56 random octets.
func newX448(private *x448.Key) *x448KE {
	k := &x448KE{private: private}
	x448.KeyGen(&k.public, private)
	return k
}

// checkX448 accepts values that are not reduced, as it must (RFC 8031, Section 3.2).
func checkX448(public []byte) error {
	if len(public) != x448.Size {
		return errKELength(len(public), x448.Size)
	}
	if allZero(public) {
		return errSmallOrder
	}
	return nil
}

func (k *x448KE) Public() []byte { return k.public[:] }

// Shared refuses a point of small order, with which the result is all zeros (RFC 7748, Section
// 6.2).
func (k *x448KE) Shared(peer []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errSpent
	}
	if err := checkX448(peer); err != nil {
		return nil, err
	}
	var shared x448.Key
	public := x448.Key(peer)
	if !x448.Shared(&shared, k.private, &public) {
		return nil, errSmallOrder
	}
	clear(k.private[:])
	k.private = nil
	return shared[:], nil
}
