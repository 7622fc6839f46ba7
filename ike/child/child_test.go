package child

import (
	"slices"
	"time"
)

var boot = Settings{Name: "lan", Start: StartBoot}

// onDemand returns settings of a policy that waits for traffic.
func onDemand(life time.Duration) Settings {
	return Settings{Name: "lan", Start: StartTraffic, Lifetime: life}
}

// wantUp checks that both sides have n pairs of the policy, send on the same one, and lost nothing.
func (w *world) wantUp(n int) {
	w.t.Helper()
	for _, s := range w.sides {
		if len(s.pol.Pairs()) != n || !s.pol.Up() || len(s.sends) == 0 {
			w.t.Fatalf("%v: %s has %v, sends on %v; want %d pairs", w.now.Sub(epoch), s.name, s.pol.Pairs(), s.sends, n)
		}
		if s.lost > 0 {
			w.t.Fatalf("%v: %s got %d packets on pairs that it does not have", w.now.Sub(epoch), s.name, s.lost)
		}
	}
	l, r := w.sides[0], w.sides[1]
	if mine, theirs := l.installed[slices.Max(l.sends)], r.installed[slices.Max(r.sends)]; mine.SPIOut != theirs.SPIIn || mine.SPIIn != theirs.SPIOut {
		w.t.Fatalf("%v: left sends on %08x, right on %08x", w.now.Sub(epoch), mine.SPIOut, theirs.SPIIn)
	}
}

// count returns how often a side reported an event.
func (s *side) count(event string) (n int) {
	for _, e := range s.reports {
		if e == event {
			n++
		}
	}
	return n
}
