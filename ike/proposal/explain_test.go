package proposal

import (
	"slices"
	"strings"
	"testing"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
)

func TestCompare(t *testing.T) {
	for _, c := range []struct{ ours, theirs, want string }{
		{"ike gcm256 prf384 x25519", "ike gcm256 prf384 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm256 prf384 x25519; ike cbc256 sha256 prf256 x25519", "ike gcm256 prf256 ecp256", "we have prfsha384, they have prfsha256"},
		{"esp gcm128 x25519 noesn", "esp gcm128 noesn", "we have x25519, they have nothing"},
		{"esp gcm128 esn", "esp gcm128 noesn", "we have esn, they have noesn"},
		{"esp gcm128 noesn", "ah sha256 noesn", "we want ESP, they want AH"},
		{"esp gcm128 noesn", "", "nothing that we could read"},
	} {
		d, ok := Compare(proposaltest.Parse(t, c.ours), proposaltest.Parse(t, c.theirs))
		if !ok || !strings.Contains(d.Text, c.want) {
			t.Errorf("%q and %q: got %q, want %q", c.ours, c.theirs, d.Text, c.want)
		}
	}
	many := slices.Repeat(proposaltest.Parse(t, "esp cc20 noesn"), 5000)
	if d, _ := Compare(proposaltest.Parse(t, "esp gcm128 noesn"), many); len(d.Text) > 100 || d.Our != "aes128gcm16" || d.Their != "chacha20poly1305" || !d.Alone {
		t.Errorf("5000 proposals: %+v", d)
	}
	long := proposaltest.Parse(t, "esp cc20 noesn")
	long[0].Transforms = slices.Concat(slices.Repeat(long[0].Transforms[:1], 200), long[0].Transforms[1:])
	if d, _ := Compare(proposaltest.Parse(t, "esp gcm128 noesn"), long); strings.Count(d.Their, " or ") != maxNames || !strings.HasSuffix(d.Their, " or others") {
		t.Errorf("200 ciphers: %q", d.Their)
	}
}

// TestAlone: a difference is the only one if the proposals agree in all other types.
func TestAlone(t *testing.T) {
	for theirs, want := range map[string]bool{
		"esp gcm128 esn": true, "esp gcm128 noesn": false, "esp gcm128 ecp256 esn": true, "esp gcm128 ecp256 noesn": false,
	} {
		d, ok := Compare(proposaltest.Parse(t, "esp gcm128 x25519 esn"), proposaltest.Parse(t, theirs))
		if !ok || d.Type != wire.TransformKE || d.Alone != want || d.Our != "x25519" {
			t.Errorf("%q: %+v", theirs, d)
		}
	}
}

// TestList names the proposals, at most maxListed of them.
func TestList(t *testing.T) {
	one := proposaltest.Parse(t, "esp gcm128 noesn")
	many := slices.Repeat(one, 12)
	if List(nil) != "none" || List(one) != one[0].String() {
		t.Errorf("got %q and %q", List(nil), List(one))
	}
	if got := List(many[:10]); strings.Count(got, ", ") != 9 || strings.Contains(got, "more") {
		t.Errorf("ten: %q", got)
	}
	if got := List(many); strings.Count(got, ", ") != 10 || !strings.HasSuffix(got, ", and 2 more") {
		t.Errorf("twelve: %q", got)
	}
}

// TestCompareNearest: of several proposals the nearest pair is explained, and nothing is said where
// no pair differs.
func TestCompareNearest(t *testing.T) {
	ours := proposaltest.Parse(t, "ike cbc256 sha256 prf256 x25519; ike gcm128 prf256 x25519")
	for _, c := range []struct{ theirs, want string }{
		{"ike cc20 prf256 x25519; ike gcm128 prf256 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm128 prf256 ecp256; ike cc20 prf256 x25519", "we have x25519, they have ecp256"},
		{"ike gcm128 gcm256 prf384 ecp256", "we have prfsha256, they have prfsha384"},
		{"ike gcm128 sha256 prf256 x25519; ike gcm128 prf256 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm128 sha256 prf256 x25519; ike cbc256 sha512 prf256 x25519", "we have sha256, they have sha512"},
		{"ike cc20 sha256 prf256 x25519; ike gcm128 sha256 prf256 x25519", "they offer an integrity algorithm to a cipher that has its own"},
	} {
		if d, ok := Compare(ours, proposaltest.Parse(t, c.theirs)); !ok || !strings.HasSuffix(": "+d.Text, ": "+c.want) {
			t.Errorf("%q: got %q, want %q", c.theirs, d.Text, c.want)
		}
	}
	if d, ok := Compare(ours[1:], ours[1:]); ok {
		t.Errorf("the same: got %q", d.Text)
	}
}
