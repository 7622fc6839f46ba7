package child

import (
	"testing"
	"time"

	"culvert/selector"
)

// Where deletions are lost, the side that did not rekey deletes the old pair itself.
func TestLostDeletion(t *testing.T) {
	w := newWorld(t, 1, onDemand(10*time.Minute))
	w.sides[0].pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	w.mute = true
	old := w.sides[1].pol.Best()
	w.sides[0].pol.Rekey(1)
	w.run(time.Second)
	if old.State() != Replaced || old.Next() != w.sides[1].pol.Best() {
		t.Fatalf("the old pair is %v, replaced by %v", old.State(), old.Next())
	}
	w.run(replacedLife - 2*time.Second)
	if old.State() != Replaced {
		t.Fatalf("the old pair is %v before its time", old.State())
	}
	w.run(2 * time.Second)
	if old.State() != Lingering {
		t.Fatalf("the old pair is %v, want lingering", old.State())
	}
	w.run(lingerPair)
	if old.State() != Gone || len(w.sides[1].installed) != 1 {
		t.Fatalf("the old pair is %v, %d are installed", old.State(), len(w.sides[1].installed))
	}
	w.wantUp(1)
}
