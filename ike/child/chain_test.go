package child

import (
	"slices"
	"testing"
	"time"

	"culvert/selector"
)

// further installs a pair for a single worker beside the main one.
func (s *side) further(l *Chain) *Pair {
	s.lastSPI++
	p := s.table.Install(s.sa, l, Agreement{SA: s.sa.keys(s.lastSPI, s.lastSPI|1<<24), Origin: &origin{}, Creator: true, Further: true, Grouped: true})
	p.UseNow()
	return p
}

// Pairs for single workers: each new one is for the worker that has the fewest, and they take over
// when the pair for all workers ends.
func TestFurtherChains(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.workers = 3
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Second)
	var resources []int
	var pairs []*Pair
	for range 4 {
		p := l.further(l.pol.FreeChain())
		pairs, resources = append(pairs, p), append(resources, p.SA.Resource)
		if p.Chain().IsMain() || !p.SA.PerResource || !p.Grouped() {
			t.Fatalf("%v is for all workers", p)
		}
	}
	if !slices.Equal(resources, []int{1, 2, 3, 1}) {
		t.Errorf("the new pairs are for the workers %v", resources)
	}
	main := l.pol.Main().Best()
	main.Lost(EndPeer, "for the test")
	if !l.pol.Up() || l.pol.Main().Best() != pairs[0] || !pairs[0].Chain().IsMain() || len(l.pol.Further()) != 3 || main.State() != Lingering {
		t.Errorf("the main chain has %v, beside %d others; the old pair is %v", l.pol.Main().Pairs(), len(l.pol.Further()), main.State())
	}
	for _, p := range slices.Backward(pairs) {
		p.Lost(EndPeer, "for the test")
	}
	if l.pol.Up() || len(l.installed) != 0 || l.count("child-down") != 1 || l.count("resource-down") != 3 {
		t.Errorf("up %v, %d installed, reports %v", l.pol.Up(), len(l.installed), l.reports)
	}
}
