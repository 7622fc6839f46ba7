package child

import (
	"testing"
	"time"

	"culvert/selector"
)

// A peer that makes and deletes pairs without end does not fill the memory.
func TestLingeringPairsAreBounded(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Second)
	for range 5 * maxLingering {
		l.sa.asked(w.rand.Uint64(), uint32(w.rand.Uint64()))
		l.pol.Main().Pairs()[0].Lost(EndPeer, "for the test")
	}
	if n := l.table.Len(); n != maxLingering+1 {
		t.Errorf("%d pairs, want one in use and %d that linger", n, maxLingering)
	}
	w.now = w.now.Add(lingerPair)
	for range 5 {
		l.timers.FireDue(w.now)
	}
	if n := l.table.Len(); n != 1 {
		t.Errorf("%d pairs after %v, want 1", n, lingerPair)
	}
}
