package child

import (
	"slices"
	"testing"
	"time"

	"culvert/selector"
)

// The pairs pass to the carrier's successor, which rekeys them.
func TestHandOver(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	w.sides[1].pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	was := [2]*quickSA{w.sides[0].sa, w.sides[1].sa}
	w.connect()
	for i, s := range w.sides {
		active := slices.Clone(s.sends)
		was[i].bundle.HandOver(s.sa)
		was[i].end(EndReplaced)
		if p := s.pol.Best(); p == nil || p.Carrier() != s.sa || s.sa.bundle.Of(s.pol) != p || !slices.Equal(active, s.sends) || len(was[i].bundle.Pairs()) != 0 {
			t.Fatalf("%s: %v is carried by %v", s.name, p, p.Carrier())
		}
	}
	w.sides[0].pol.Rekey(9)
	w.run(10 * time.Second)
	if err, ok := w.sides[0].done[9]; !ok || err != nil {
		t.Errorf("the command was answered: %v, with %v", ok, err)
	}
	w.wantUp(1)
}
