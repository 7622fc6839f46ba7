package suite

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"culvert/ike/wire"
)

// modpGroup is a MODP group of RFC 3526 or RFC 2409. The generator is always 2.
type modpGroup struct {
	bits     int
	exponent int    // length of the private exponent in bits: the larger one of RFC 3526, Section 8
	prime    string // hexadecimal
}

// modpGroups are the supported groups; modp_primes.go has their primes. Those of less than 2048
// bits are for peers that have nothing better, whose configuration names them: see Weak.
var modpGroups = map[wire.TransformID]*modpGroup{
	wire.GroupMODP1024: {1024, 240, prime1024},
	wire.GroupMODP1536: {1536, 240, prime1536},
	wire.GroupMODP2048: {2048, 320, prime2048},
	wire.GroupMODP3072: {3072, 420, prime3072},
	wire.GroupMODP4096: {4096, 480, prime4096},
	wire.GroupMODP6144: {6144, 540, prime6144},
	wire.GroupMODP8192: {8192, 620, prime8192},
}

// modpKE is a MODP key exchange.
//
// math/big does not promise constant time. The leak is bounded: an exponent serves one key exchange
// only, its length is fixed, and with an odd modulus and an exponent of several words big.Int.Exp
// makes the same sequence of Montgomery multiplications for every exponent of that length. What
// remains can be observed once and only nearby: the cache lines of the table of powers, and the
// conditional subtraction at the end of a multiplication. Where that matters, use a curve:
// crypto/ecdh is constant-time.
type modpKE struct {
	prime    *big.Int
	exponent *big.Int // nil once used
	public   []byte
}

func (g *modpGroup) generate() (KeyExchange, error) {
	exponent, err := g.randomExponent()
	if err != nil {
		return nil, fmt.Errorf("key exchange: %w", err)
	}
	return g.begin(exponent), nil
}

// randomExponent returns an exponent with its top bit set, so that all have the same length.
func (g *modpGroup) randomExponent() (*big.Int, error) {
	b := make([]byte, (g.exponent+7)/8)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	x := new(big.Int).SetBytes(b)
	clear(b)
	x.Rsh(x, uint(8*len(b)-g.exponent))
	return x.SetBit(x, g.exponent-1, 1), nil
}

func (g *modpGroup) begin(exponent *big.Int) *modpKE {
	prime, _ := new(big.Int).SetString(g.prime, 16)
	public := new(big.Int).Exp(big.NewInt(2), exponent, prime)
	return &modpKE{prime, exponent, public.FillBytes(make([]byte, g.bits/8))}
}

// check returns an error for a value that Shared refuses.
func (g *modpGroup) check(public []byte) error {
	prime, _ := new(big.Int).SetString(g.prime, 16)
	_, err := peerValue(public, prime, g.bits/8)
	return err
}

// peerValue returns the peer's public value, which must have the full length and be within the
// range of the group.
func peerValue(public []byte, prime *big.Int, length int) (*big.Int, error) {
	if len(public) != length {
		return nil, errKELength(len(public), length)
	}
	y, one := new(big.Int).SetBytes(public), big.NewInt(1)
	if y.Cmp(one) <= 0 || y.Cmp(new(big.Int).Sub(prime, one)) >= 0 {
		return nil, errors.New("the peer's key exchange data is outside the range of the group")
	}
	return y, nil
}

func (k *modpKE) Public() []byte { return k.public }

// Shared requires a value of the modulus's full length, padded with leading zero octets (RFC 7296,
// Section 3.4), and 1 < r < p-1 (RFC 6989, Section 2.1).
func (k *modpKE) Shared(peer []byte) ([]byte, error) {
	if k.exponent == nil {
		return nil, errSpent
	}
	y, err := peerValue(peer, k.prime, len(k.public))
	if err != nil {
		return nil, err
	}
	shared := new(big.Int).Exp(y, k.exponent, k.prime)
	clear(k.exponent.Bits())
	k.exponent = nil
	return shared.FillBytes(make([]byte, len(k.public))), nil
}
