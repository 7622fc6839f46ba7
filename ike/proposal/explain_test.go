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
