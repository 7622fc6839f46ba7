//go:build !race

package dataplane

import (
	"runtime"
	"testing"
	"time"
)

// The race detector takes several times as long as is allowed here.

// Of the 5 us of CPU time that a scrape of the metrics may take for each child, 2 are the packet
// path's.
func TestPolicyCountsAreCheap(t *testing.T) {
	const n = 4000
	c := newCrowd(t, n).withPairs(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range 20 {
		begun := threadCPU(t)
		for i := range c.policies {
			c.PolicyCounts(c.policies[i].ID)
		}
		best = min(best, threadCPU(t)-begun)
	}
	t.Logf("%v of CPU time for each of %d policies", best/n, n)
	if best > 2*n*time.Microsecond {
		t.Errorf("%v of CPU time for each policy", best/n)
	}
}
