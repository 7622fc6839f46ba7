package suite

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cloudflare/circl/dh/x448"
)

func x448From(t testing.TB, private string) *x448KE {
	key := x448.Key(unhex(t, private))
	return newX448(&key)
}

// TestX448Vector runs the exchange of RFC 7748, Section 6.2.
func TestX448Vector(t *testing.T) {
	a := x448From(t, "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28d d9c9baf574a9419744897391006382a6f127ab1d9ac2d8c0a598726b")
	b := x448From(t, "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d 6927c120bb5ee8972b0d3e21374c9c921b09d1b0366f10b65173992d")
	checkExchange(t, "x448", a, b,
		unhex(t, "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c 22c5d9bbc836647241d953d40c5b12da88120d53177f80e532c41fa0"),
		unhex(t, "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b430 27d8b972fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609"),
		unhex(t, "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282b b60c0b56fd2464c335543936521c24403085d59a449a5037514a879d"))
}

// TestX448Function computes the function's vectors of RFC 7748, Section 5.2.
func TestX448Function(t *testing.T) {
	for _, v := range [][3]string{
		{
			"3d262fddf9ec8e88495266fea19a34d28882acef045104d0d1aae121 700a779c984c24f8cdd78fbff44943eba368f54b29259a4f1c600ad3",
			"06fce640fa3487bfda5f6cf2d5263f8aad88334cbd07437f020f08f9 814dc031ddbdc38c19c6da2583fa5429db94ada18aa7a7fb4ef8a086",
			"ce3e4ff95a60dc6697da1db1d85e6afbdf79b50a2412d7546d5f239f e14fbaadeb445fc66a01b0779d98223961111e21766282f73dd96b6f",
		},
		{
			"203d494428b8399352665ddca42f9de8fef600908e0d461cb021f8c5 38345dd77c3e4806e25f46d3315c44e0a5b4371282dd2c8d5be3095f",
			"0fbcc2f993cd56d3305b0b7d9e55d4c1a8fb5dbb52f8e9a1e9b6201b 165d015894e56c4d3570bee52fe205e28a78b91cdfbde71ce8d157db",
			"884a02576239ff7a2f2f63b2db6a9ff37047ac13568e1e30fe63c4a7 ad1b3ee3a5700df34321d62077e63633c575c1c954514e99da7c179d",
		},
	} {
		got, err := x448From(t, v[0]).Shared(unhex(t, v[1]))
		if err != nil || !bytes.Equal(got, unhex(t, v[2])) {
			t.Errorf("%x, %v; want %s", got, err, v[2])
		}
	}
}

// TestX448Iterated calls the function a thousand times, each with the results of the two calls
// before, as RFC 7748, Section 5.2, has it.
func TestX448Iterated(t *testing.T) {
	k := append([]byte{5}, make([]byte, x448.Size-1)...)
	u := k
	for range 1000 {
		key := x448.Key(k)
		next, err := newX448(&key).Shared(u)
		if err != nil {
			t.Fatal(err)
		}
		k, u = next, k
	}
	want := unhex(t, "aa3b4749d55b9daf1e5b00288826c467274ce3ebbdd5c17b975e09d4 af6c67cf10d087202db88286e2b79fceea3ec353ef54faa26e219f38")
	if !bytes.Equal(k, want) {
		t.Errorf("%x, want %x", k, want)
	}
}

// TestX448NotReduced: p+5 is the same point as 5, the base point, and is accepted (RFC 8031,
// Section 3.2).
func TestX448NotReduced(t *testing.T) {
	k := x448From(t, "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28d d9c9baf574a9419744897391006382a6f127ab1d9ac2d8c0a598726b")
	value := slices.Concat([]byte{4}, make([]byte, 27), bytes.Repeat([]byte{0xff}, 28))
	if err := checkX448(value); err != nil {
		t.Error(err)
	}
	got, err := k.Shared(value)
	if err != nil || !bytes.Equal(got, k.Public()) {
		t.Errorf("%x, %v; want %x", got, err, k.Public())
	}
}

// TestX448IsSpent: no private key is left after use, and a public value of the peer's stays as it
// is.
func TestX448IsSpent(t *testing.T) {
	k, _ := generateX448()
	private, peer := k.(*x448KE).private, slices.Clone(x448From(t, "01"+string(bytes.Repeat([]byte("00"), x448.Size-1))).Public())
	before := slices.Clone(peer)
	if _, err := k.Shared(peer); err != nil {
		t.Fatal(err)
	}
	if *private != (x448.Key{}) || !bytes.Equal(peer, before) {
		t.Errorf("the private key is %x; the peer's value changed: %v", *private, !bytes.Equal(peer, before))
	}
}

func BenchmarkX448(b *testing.B) {
	peer, _ := generateX448()
	for b.Loop() {
		k, _ := generateX448()
		if _, err := k.Shared(peer.Public()); err != nil {
			b.Fatal(err)
		}
	}
}
