//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"
)

// TestIdle leaves an established tunnel alone, liveness checks and all: the daemons cost next to nothing.
// CULVERT_IDLE makes the window another one, such as 60s, for a figure that is worth quoting.
func TestIdle(t *testing.T) {
	window, most := 3*time.Second, 30*time.Millisecond // ten times the goal, a tenth of a percent, for a machine that does other things meanwhile
	if s := os.Getenv("CULVERT_IDLE"); s != "" {
		var err error
		window, err = time.ParseDuration(s)
		ok(t, err)
		most = window / 1000
	}
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "dpd = \"1s\"\n")
	before := [2]time.Duration{cpu(t, left), cpu(t, right)}
	time.Sleep(window) // the idleness that is measured
	for i, g := range []*gateway{left, right} {
		spent := cpu(t, g) - before[i]
		t.Logf("%s: %v of a processor in %v, %.3f %%", g.host.Name, spent, window, 100*spent.Seconds()/window.Seconds())
		if spent > most {
			t.Errorf("%s: an idle daemon used %v of the processor in %v, want at most %v", g.host.Name, spent, window, most)
		}
	}
	wantNeverDown(t, left, right)
}
