//go:build !race

package dataplane

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The race detector takes several times as long as is allowed here.

// threadTime returns the CPU time of this thread: what the system runs in between does not count.
func threadTime(t *testing.T) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// Of the 5 us of CPU time that a scrape of the metrics may take for each child, 2 are the packet
// path's.
func TestPolicyCountsAreCheap(t *testing.T) {
	const n = 4000
	c := newCrowd(t, n).withPairs(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range 20 {
		begun := threadTime(t)
		for i := range c.policies {
			c.PolicyCounts(c.policies[i].ID)
		}
		best = min(best, threadTime(t)-begun)
	}
	t.Logf("%v of CPU time for each of %d policies", best/n, n)
	if best > 2*n*time.Microsecond {
		t.Errorf("%v of CPU time for each policy", best/n)
	}
}
