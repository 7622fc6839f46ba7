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

// The pair to send on is the newest live one, otherwise the newest replaced one.
func TestBest(t *testing.T) {
	for name, tt := range map[string]struct {
		states []State
		want   int // counted from 1; 0: none
	}{
		"none":                     {nil, 0},
		"the newest live one":      {[]State{Live, Live, Deleting}, 2},
		"live before replaced":     {[]State{Live, Replaced, Replaced}, 1},
		"the newest replaced one":  {[]State{Replaced, Replaced, Deleting}, 2},
		"those that end are none":  {[]State{Deleting, Deleting}, 0},
		"one live, older and last": {[]State{Deleting, Live}, 2},
	} {
		s := newStand(t, onDemand(0))
		var pairs []*Pair
		for range tt.states {
			pairs = append(pairs, s.install(s.pol.Main(), true, nil))
		}
		for i, state := range tt.states {
			pairs[i].state = state
		}
		var want *Pair
		if tt.want > 0 {
			want = pairs[tt.want-1]
		}
		if got := s.pol.Main().Best(); got != want || s.pol.Best() != want {
			t.Errorf("%s: %v and %v, want %v", name, got, s.pol.Best(), want)
		}
	}
}

// The newest live pair on a carrier.
func TestOn(t *testing.T) {
	s := newStand(t, onDemand(0))
	first, second, third := s.install(s.pol.Main(), true, nil), s.install(s.pol.Main(), true, nil), s.install(s.pol.Main(), true, nil)
	third.moveTo(Replaced)
	if got := s.pol.Main().On(s.sa); got != second {
		t.Errorf("got %v", got)
	}
	second.carrier = &stillSA{}
	if got := s.pol.Main().On(s.sa); got != first {
		t.Errorf("got %v", got)
	}
	if got := s.pol.Main().On(&stillSA{}); got != nil {
		t.Errorf("got %v", got)
	}
}

// The main chain takes over the pairs of a chain that has one in use, otherwise of one that has
// any; what was asked for the other one goes to the main one.
func TestPromote(t *testing.T) {
	s := newStand(t, onDemand(0))
	main, first, second := s.ours(), s.own(1, true), s.own(2, true)
	was := second.Chain()
	first.Delete(EndLocal, "")
	if main.Lost(EndPeer, ""); s.pol.Main().Best() != second || second.Chain() != s.pol.Main() || was.Now() != s.pol.Main() || was.Settled() {
		t.Errorf("the main chain has %v", s.pol.Main().Pairs())
	}
	if rest := s.pol.Further(); len(rest) != 1 || rest[0] != first.Chain() || rest[0].Now() != rest[0] || rest[0].Resource() != 1 || rest[0].Policy() != s.pol {
		t.Errorf("%d other chains", len(rest))
	}
	s.plane = nil
	second.Lost(EndPeer, "")
	if got := s.pol.Main().Pairs(); len(got) != 1 || got[0] != first || len(s.pol.Further()) != 0 {
		t.Errorf("the main chain has %v, beside %d others", got, len(s.pol.Further()))
	}

	// The pair that was asked for on the chain that has been merged.
	p := s.install(was, true, nil)
	if p.Chain() != s.pol.Main() {
		t.Error("it is on a chain that is gone")
	}
}

// A chain stays as long as it has a pair, or a request is under way.
func TestTidy(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.workers = 2
	s.pol.group.able = true
	s.ours()
	s.pol.group.able = true
	s.pol.Acquire(selector.Flow{}, 1)
	if len(s.sa.requested) != 1 {
		t.Fatal("nothing was requested")
	}
	l := s.sa.requested[0]
	l.Asking()
	if l.Settled() || len(s.pol.Further()) != 1 {
		t.Error("the request is forgotten")
	}
	p := s.install(l, true, func(a *Agreement) { a.Further, a.Grouped = true, true })
	p.Lost(EndPeer, "")
	if len(s.pol.Further()) != 1 {
		t.Error("the chain is gone during its request")
	}
	l.RequestEnded()
	if !l.Settled() || len(s.pol.Further()) != 0 {
		t.Errorf("%d chains are kept", len(s.pol.Further()))
	}
	p = s.install(l, true, func(a *Agreement) { a.Further, a.Grouped = true, true })
	if len(s.pol.Further()) != 1 || s.pol.Further()[0] != l {
		t.Error("a pair on a chain that had been dropped is not found")
	}
	s.install(l, true, func(a *Agreement) { a.Replaces = p })
	if len(s.pol.Further()) != 1 || len(s.pol.Pairs()) != 3 {
		t.Errorf("%d chains, %d pairs", len(s.pol.Further()), len(s.pol.Pairs()))
	}
	p.Lost(EndPeer, "")
	s.reports = nil
	l.Best().Lost(EndPeer, "for the test")
	s.wantEvents("the last one of the worker", "resource-down")
}

// A worker's chain goes with its last pair, and the owner looks at the policy then.
func TestLastPairOfAChain(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.ours()
	p := s.own(1, true)
	s.touched = false
	p.Lost(EndPeer, "for the test")
	if len(s.pol.Further()) != 0 || !s.touched {
		t.Errorf("%d other chains; touched %v", len(s.pol.Further()), s.touched)
	}
}

// The policy is represented by a worker's pair where every pair of the main chain is being deleted.
func TestBestOfAnotherChain(t *testing.T) {
	s := newStand(t, onDemand(0))
	main, own := s.ours(), s.own(1, true)
	if s.pol.Best() != main || !s.pol.Up() {
		t.Error("the main one is not the best")
	}
	main.Delete(EndLocal, "")
	if s.pol.Best() != own || !s.pol.Up() {
		t.Errorf("got %v", s.pol.Best())
	}
	own.Delete(EndLocal, "")
	if s.pol.Best() != nil || s.pol.Up() {
		t.Errorf("got %v", s.pol.Best())
	}
}

// A chain whose request is under way has no pair to take over.
func TestPromoteSkipsRequests(t *testing.T) {
	s, main := grouped(t)
	s.pol.Acquire(selector.Flow{}, 1)
	own := s.own(2, true)
	own.Delete(EndLocal, "for the test")
	main.Lost(EndPeer, "for the test")
	if got := s.pol.Main().Pairs(); len(got) != 1 || got[0] != own {
		t.Errorf("the main chain has %v", got)
	}
}

// Others may stand beside the live pair on a carrier, or beside one that a pair on another carrier
// was to replace, but not beside a rekeyed one.
func TestBeside(t *testing.T) {
	s := newStand(t, onDemand(0))
	c, main := s.sa, s.pol.Main()
	old := s.ours()
	if got := main.Beside(c); got != old {
		t.Errorf("a live one: %v", got)
	}
	next := s.install(main, false, nil)
	old.Replaced(next)
	next.moveTo(Replaced)
	if got := main.Beside(c); got != nil {
		t.Errorf("a rekeyed one: %v", got)
	}
	s.sa = &stillSA{established: true}
	next.Replaced(s.ours())
	if got := main.Beside(c); got != next {
		t.Errorf("one that another carrier's replaces: %v", got)
	}
	if got := main.Beside(&stillSA{}); got != nil {
		t.Errorf("on a third carrier: %v", got)
	}
}
