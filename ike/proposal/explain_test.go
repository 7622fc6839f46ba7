package proposal

import (
	"slices"
	"strings"
	"testing"

	"culvert/ike/proposal/proposaltest"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct{ ours, theirs, want string }{
		{"ike gcm256 prf384 x25519", "ike gcm256 prf384 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm256 prf384 x25519; ike cbc256 sha256 prf256 x25519", "ike gcm256 prf256 ecp256", "we have prfsha384, they have prfsha256"},
		{"esp gcm128 x25519 noesn", "esp gcm128 noesn", "we have x25519, they have nothing"},
		{"esp gcm128 esn", "esp gcm128 noesn", "we have esn, they have noesn"},
		{"esp gcm128 noesn", "ah sha256 noesn", "we want ESP, they want AH"},
		{"esp gcm128 noesn", "", "nothing that we could read"},
	} {
		lines := Explain(proposaltest.Parse(t, c.ours), proposaltest.Parse(t, c.theirs))
		if len(lines) != 3 || !strings.HasPrefix(lines[0], "ours: aes") || !strings.HasPrefix(lines[1], "theirs: ") || !strings.Contains(lines[2], c.want) {
			t.Errorf("%q and %q: got %q, want %q", c.ours, c.theirs, lines, c.want)
		}
	}
	many := slices.Repeat(proposaltest.Parse(t, "esp cc20 noesn"), 5000)
	if lines := Explain(proposaltest.Parse(t, "esp gcm128 noesn"), many); len(strings.Join(lines, "")) > 1000 {
		t.Errorf("5000 proposals explained in %d characters", len(strings.Join(lines, "")))
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

// TestExplainNearest: of several proposals the nearest pair is explained, and nothing is said where
// no pair differs.
func TestExplainNearest(t *testing.T) {
	ours := proposaltest.Parse(t, "ike cbc256 sha256 prf256 x25519; ike gcm128 prf256 x25519")
	for _, c := range []struct{ theirs, want string }{
		{"ike cc20 prf256 x25519; ike gcm128 prf256 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm128 prf256 ecp256; ike cc20 prf256 x25519", "we have x25519, they have ecp256"},
		{"ike gcm128 gcm256 prf384 ecp256", "we have prfsha256, they have prfsha384"},
		{"ike gcm128 sha256 prf256 x25519; ike gcm128 prf256 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm128 sha256 prf256 x25519; ike cbc256 sha512 prf256 x25519", "we have sha256, they have sha512"},
		{"ike cc20 sha256 prf256 x25519; ike gcm128 sha256 prf256 x25519", "they offer an integrity algorithm to a cipher that has its own"},
	} {
		if lines := Explain(ours, proposaltest.Parse(t, c.theirs)); len(lines) != 3 || !strings.HasSuffix(lines[2], ": "+c.want) {
			t.Errorf("%q: got %q, want %q", c.theirs, lines, c.want)
		}
	}
	if lines := Explain(ours[1:], ours[1:]); len(lines) != 2 {
		t.Errorf("the same: got %q", lines)
	}
}
