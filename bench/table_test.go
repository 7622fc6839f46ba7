package bench

import (
	"strings"
	"testing"
)

func TestTables(t *testing.T) {
	var b strings.Builder
	if err := sample().Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| TCP, 1 stream | culvert, UDP | 4.00 (0.80-8.00)  | 2.00 (2.00-2.00) | 2.00 (1.00-10.00) | 0.50 (0.50-0.50) |",
		"| latency, under load | ", "strongSwan: not measured: not installed", "FAILED: OpenVPN, round 2 TCP, 1 stream: it ended", "2 cores",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for _, not := range []string{"to " + Floor, "UDP at the highest rate", "NaN", "Inf"} {
		if strings.Contains(b.String(), not) {
			t.Errorf("%q in\n%s", not, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "| TCP, 1 stream | plain link") && !strings.Contains(line, "| - ") {
			t.Errorf("the plain link has no VPN to spend time: %s", line)
		}
	}
}
