//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"
)

// TestIdle leaves an established tunnel alone, with liveness checks: the daemons use next to no CPU
// time. CULVERT_IDLE sets a longer window, such as 60s, for a figure to quote.
func TestIdle(t *testing.T) {
	window, most := 3*time.Second, 30*time.Millisecond // ten times the goal of a tenth of a percent, for a busy machine
	if s := os.Getenv("CULVERT_IDLE"); s != "" {
		var err error
		window, err = time.ParseDuration(s)
		ok(t, err)
		most = window / 1000
	}
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "dpd = \"1s\"\n")
	before := [2]time.Duration{cpu(t, left), cpu(t, right)}
	time.Sleep(window) // the measured idleness
	for i, g := range []*gateway{left, right} {
		spent := cpu(t, g) - before[i]
		t.Logf("%s: %v of a processor in %v, %.3f %%", g.host.Name, spent, window, 100*spent.Seconds()/window.Seconds())
		if spent > most {
			t.Errorf("%s: an idle daemon used %v of the processor in %v, want at most %v", g.host.Name, spent, window, most)
		}
	}
	wantNeverDown(t, left, right)
}
