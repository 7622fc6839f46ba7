package suite

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"culvert/ike/wire"
)

// unhex decodes a vector with the spacing of its RFC.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPRF runs the vectors of RFC 4868, Section 2.7.1 (from RFC 4231), and of RFC 2202 for SHA-1.
func TestPRF(t *testing.T) {
	long := strings.Repeat("aa", 131)
	for _, v := range []struct {
		id              wire.TransformID
		key, data, want string
	}{
		{wire.PRFHMACSHA1, strings.Repeat("0b", 20), "4869205468657265", "b617318655057264e28bc0b6fb378c8ef146be00"},
		{wire.PRFHMACSHA2256, strings.Repeat("0b", 20), "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b 881dc200c9833da726e9376c2e32cff7"},
		{wire.PRFHMACSHA2384, strings.Repeat("0b", 20), "4869205468657265",
			"afd03944d84895626b0825f4ab46907f 15f9dadbe4101ec682aa034c7cebc59c faea9ea9076ede7f4af152e8b2fa9cb6"},
		{wire.PRFHMACSHA2512, strings.Repeat("0b", 20), "4869205468657265",
			"87aa7cdea5ef619d4ff0b4241a1d6cb0 2379f4e2ce4ec2787ad0b30545e17cde daa833b7d6b8a702038b274eaea3f4e4 be9d914eeb61f1702e696c203a126854"},
		{wire.PRFHMACSHA2256, "4a656665", "7768617420646f2079612077616e7420 666f72206e6f7468696e673f", "5bdcc146bf60754e6a042426089575c7 5a003f089d2739839dec58b964ec3843"},
		{wire.PRFHMACSHA2256, long, "54657374205573696e67204c61726765 72205468616e20426c6f636b2d53697a 65204b6579202d2048617368204b6579 204669727374",
			"60e431591ee0b67f0d8a26aacbf5b77f 8e0bc6213728c5140546040f0ee37f54"},
		{wire.PRFHMACSHA2384, long, "54657374205573696e67204c61726765 72205468616e20426c6f636b2d53697a 65204b6579202d2048617368204b6579 204669727374",
			"4ece084485813e9088d2c63a041bc5b4 4f9ef1012a2b588f3cd11f05033ac4c6 0c2ef6ab4030fe8296248df163f44952"},
		{wire.PRFHMACSHA2512, long, "54657374205573696e67204c61726765 72205468616e20426c6f636b2d53697a 65204b6579202d2048617368204b6579 204669727374",
			"80b24263c7c1a3ebb71493c1dd7be8b4 9b46d1f41b4aeec1121b013783f8f352 6b56d037e05f2598bd0fd2215d6a1e52 95e64f73f63f0aec8b915a985d786598"},
	} {
		prf, ok := PRFByID(v.id)
		if !ok {
			t.Fatalf("PRF %d is not known", v.id)
		}
		key, data, want := unhex(t, v.key), unhex(t, v.data), unhex(t, v.want)
		if got := prf.Sum(key, data); !bytes.Equal(got, want) || len(got) != prf.Size() {
			t.Errorf("PRF %d: got %x, want %x", v.id, got, want)
		}
		if got := prf.Sum(key, data[:3], nil, data[3:]); !bytes.Equal(got, want) {
			t.Errorf("PRF %d in parts: got %x, want %x", v.id, got, want)
		}
	}
}

func TestPRFByID(t *testing.T) {
	for id := wire.TransformID(0); id < 2000; id++ {
		prf, ok := PRFByID(id)
		known := id == 2 || id >= 5 && id <= 7
		if ok != known || ok && prf.ID() != id {
			t.Errorf("PRF %d: known %v, want %v", id, ok, known)
		}
	}
}

// slowPlus is prf+ as defined in RFC 7296, Section 2.13.
func slowPlus(prf *PRF, key, seed []byte, n int) []byte {
	var out, block []byte
	for i := 1; len(out) < n; i++ {
		block = prf.Sum(key, block, seed, []byte{byte(i)})
		out = append(out, block...)
	}
	return out[:n]
}

func TestPlus(t *testing.T) {
	key, seed := []byte("key"), []byte("seed")
	for _, prf := range prfs {
		for _, n := range []int{0, 1, prf.size - 1, prf.size, prf.size + 1, 7 * prf.size, 255*prf.size - 1, 255 * prf.size} {
			if got, want := prf.Plus(key, seed, n), slowPlus(prf, key, seed, n); !bytes.Equal(got, want) || got == nil {
				t.Errorf("PRF %d, %d octets: got %x, want %x", prf.id, n, got, want)
			}
		}
		for _, n := range []int{-1, 255*prf.size + 1, 1 << 30} {
			if got := prf.Plus(key, seed, n); got != nil {
				t.Errorf("PRF %d made %d octets where %d were asked for", prf.id, len(got), n)
			}
		}
	}
}
