package suite

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strconv"
	"testing"
)

// TestMODPPrimes computes the primes from pi, by the formula of RFC 3526: 2^n - 2^(n-64) - 1 + 2^64
// * ([2^(n-130) pi] + c).
func TestMODPPrimes(t *testing.T) {
	offsets := map[int]int64{1024: 129093, 1536: 741804, 2048: 124476, 3072: 1690314, 4096: 240904, 6144: 929484, 8192: 4743158}
	one := big.NewInt(1)
	power := func(n int) *big.Int { return new(big.Int).Lsh(one, uint(n)) }
	for _, g := range modpGroups {
		tail := scaledPi(g.bits - 130)
		tail.Add(tail, big.NewInt(offsets[g.bits])).Lsh(tail, 64)
		want := power(g.bits)
		want.Sub(want, power(g.bits-64)).Sub(want, one).Add(want, tail)
		if got, ok := new(big.Int).SetString(g.prime, 16); !ok || got.Cmp(want) != 0 {
			t.Errorf("the prime of %d bits is %s, want %x", g.bits, g.prime, want)
		}
	}
}

// scaledPi returns the integer part of 2^n pi, by Machin's formula: 16 arctan(1/5) - 4
// arctan(1/239).
func scaledPi(n int) *big.Int {
	const guard = 64
	arctan := func(inverse int64) *big.Int {
		square, sum := big.NewInt(inverse*inverse), new(big.Int)
		power := new(big.Int).Lsh(big.NewInt(1), uint(n+guard))
		power.Quo(power, big.NewInt(inverse))
		for k := int64(1); power.Sign() != 0; k += 2 {
			term := new(big.Int).Quo(power, big.NewInt(k))
			if k%4 == 3 {
				term.Neg(term)
			}
			sum.Add(sum, term)
			power.Quo(power, square)
		}
		return sum
	}
	a, b := arctan(5), arctan(239)
	a.Lsh(a, 4).Sub(a, b.Lsh(b, 2))
	return a.Rsh(a, guard)
}

// TestMODPVectors compares whole exchanges with the results of Python's pow. The values are long,
// so the table has their SHA-256.
func TestMODPVectors(t *testing.T) {
	for _, v := range []struct {
		bits         int
		a, b, shared string
	}{
		{1024, "c57e6b1c1f9193ab3828cdd4c36262861b3ec13b97c1f82074e21ced21a35a62", "e0feaceb7bb758af616855f715d9fa2e5507418914a10c21061b6b241c5b5fab", "6b05b81ea6e75a1f3f95d0e77ec36aa7d44cf2f14376ec99ba2a6c07a3957e5a"},
		{1536, "9bba678826950caa869c566b0d051f78818cd897b0078e189917c9b767975c7e", "d1abaa77810b2a25b5145fe0b65760dd77defd8de6c4cc7a58611fe7340f95a2", "e17a66432bdac3c61e290c8221338450c21bea9bd114f94130c9854845a288f0"},
		{2048, "148c79d172577838b33cc98dc757ac157f882b8e23b24483b4990c1858035a3f", "1edde88659165502c408ff730708b01c27eafb10dd1fe90ff8556d26fc6a8d13", "2123d482d2fef10f01e7787fd01e5338a3cb8f1e7e60a831d4448cc02c4d2e0b"},
		{3072, "4cfd6129aba0a11fcffd68fca6662a9285a2c6f4ad8357de531c387dd0eee37e", "e2e7298800777b84bf03d3cb0e37410b775778f5f514aa9787611353bbe41e99", "12ef81368e17a4996f211fbb8c08e58c970e2d8ce8d86b487c178cb52b09efe2"},
		{4096, "ab7a597cbed41fac5b0335f85073a39a6c3d670b24bef39643ea77bf9814555f", "83622bc0b2ac5a40b9a6a89d56ee125b889c24dd5a6babc1cd2864bd9c74721d", "b3570287745db1e43156e5528d03f03a03df8b563126e2828dccb72d43801627"},
		{6144, "926f440ca3296e2ffe3ea263ef48c962061c235c02f2eebbeeef2cb3149faa4e", "9de9f1665daad59116e0fe738ca42c3277e6f7b9e175f65b40931603fa25c071", "cdb69822158f52d377c6b713888e21d6d9d03197436a82806ca5c8da64d5ae45"},
		{8192, "b4af08fcec6d072d9335cdfeb74818d00c576470d289958d4294e3946fe8ffa7", "52fffe66e6023c0f18c90b4f414c5f7540d287cbd5a39455831520f892024849", "9765af1f93e3c7f53e7d342e0f061bf31a306729f8152cb7b1936700b2b97276"},
	} {
		g := groupOf(t, v.bits)
		a, b := g.begin(fixedExponent(g, "a")), g.begin(fixedExponent(g, "b"))
		secret, err := a.Shared(b.Public())
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			got  []byte
			want string
		}{"a": {a.Public(), v.a}, "b": {b.Public(), v.b}, "shared": {secret, v.shared}} {
			if sum := sha256.Sum256(c.got); hex.EncodeToString(sum[:]) != c.want || len(c.got) != v.bits/8 {
				t.Errorf("MODP-%d: %s is %x", v.bits, name, c.got)
			}
		}
	}
}

func groupOf(t *testing.T, bits int) *modpGroup {
	t.Helper()
	for _, g := range modpGroups {
		if g.bits == bits {
			return g
		}
	}
	t.Fatalf("no MODP group of %d bits", bits)
	return nil
}

// fixedExponent returns SHA-512(name, bits) twice, cut to the group's length.
func fixedExponent(g *modpGroup, name string) *big.Int {
	sum := sha512.Sum512([]byte(name + strconv.Itoa(g.bits)))
	x := new(big.Int).SetBytes(bytes.Repeat(sum[:], 2))
	return x.Rsh(x, uint(1024-g.exponent))
}

// TestMODPPadding: values are padded with zeros to the length of the prime (RFC 7296, Sections 2.14
// and 3.4).
func TestMODPPadding(t *testing.T) {
	g := groupOf(t, 2048)
	k := g.begin(big.NewInt(8))
	if got := k.Public(); len(got) != 256 || binary.BigEndian.Uint64(got[248:]) != 256 {
		t.Errorf("2^8 is sent as %x", got)
	}
	two := make([]byte, 256)
	two[255] = 2
	shared, err := k.Shared(two)
	if err != nil || len(shared) != 256 || binary.BigEndian.Uint64(shared[248:]) != 256 {
		t.Errorf("the shared secret 2^8 is %x, %v", shared, err)
	}
}

// TestMODPExponent: all exponents of a group have the same length, so that the length reveals
// nothing.
func TestMODPExponent(t *testing.T) {
	for _, g := range modpGroups {
		seen := map[string]bool{}
		for range 8 {
			x, err := g.randomExponent()
			if err != nil || x.BitLen() != g.exponent || seen[x.String()] {
				t.Fatalf("MODP-%d: an exponent of %d bits, want %d, or one seen before; %v", g.bits, x.BitLen(), g.exponent, err)
			}
			seen[x.String()] = true
		}
	}
}
