//go:build !race

package daemon

import (
	"io"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns the CPU time of this thread: what the system runs in between does not count.
func threadTime(t *testing.T) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// Of the 5 us of CPU time that a scrape of the metrics may take for each child, 2 are the daemon's:
// all but those of the engine and of the packet path. It takes 256 octets for each at most. (With
// the race detector it takes 20 times as long.)
func TestMetricsAreCheap(t *testing.T) {
	const n = 2000
	d, _ := newCrowd(t, n)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range 20 {
		begun := threadTime(t)
		s, err := d.sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.write(io.Discard); err != nil {
			t.Fatal(err)
		}
		best = min(best, threadTime(t)-begun)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if s, err := d.sample(t.Context()); err != nil || s.write(io.Discard) != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	memory := (after.TotalAlloc - before.TotalAlloc - scrapeBuffer) / n
	t.Logf("%v of CPU time and %d octets for each of %d children", best/n, memory, n)
	if best > 2*n*time.Microsecond {
		t.Errorf("%v of CPU time for each child", best/n)
	}
	if memory > 256 {
		t.Errorf("%d octets for each child", memory)
	}
}
