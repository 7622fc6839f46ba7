package child

import (
	"slices"
	"testing"
	"time"

	"culvert/selector"
)

// grouped returns a stand with two workers, whose peer makes Child SAs for single resources, and
// the main pair.
func grouped(t *testing.T) (*stand, *Pair) {
	s := newStand(t, onDemand(0))
	s.workers = 2
	p := s.install(s.pol.Main(), true, func(a *Agreement) { a.Grouped = true })
	p.UseNow()
	return s, p
}

// When a worker asks for a pair of its own, one is requested, once, if the peer makes such and
// nothing stands against it.
func TestAcquireResource(t *testing.T) {
	for name, tt := range map[string]struct {
		resource int
		change   func(s *stand, main *Pair)
		want     bool
	}{
		"the first worker":              {1, func(*stand, *Pair) {}, true},
		"the last worker":               {2, func(*stand, *Pair) {}, true},
		"there is no such worker":       {3, func(*stand, *Pair) {}, false},
		"there is no carrier":           {1, func(s *stand, _ *Pair) { s.sa = nil }, false},
		"the pair is on another SA":     {1, func(s *stand, _ *Pair) { s.sa = &stillSA{} }, false},
		"the main one is being deleted": {1, func(_ *stand, main *Pair) { main.Delete(EndLocal, "") }, false},
		"the peer does not make such":   {1, func(s *stand, _ *Pair) { s.pol.NoFurther() }, false},
		"it is not wanted":              {1, func(s *stand, _ *Pair) { s.pol.want = false }, false},
		"the owner is closed":           {1, func(s *stand, _ *Pair) { s.closed = true }, false},
		"it is held":                    {1, func(s *stand, _ *Pair) { s.pol.Hold() }, false},
		"after a refusal":               {1, func(s *stand, _ *Pair) { s.pol.Main().Pause(time.Second) }, false},
		"after a refusal and a pause": {1, func(s *stand, _ *Pair) {
			s.pol.Main().Pause(time.Second)
			s.pass(time.Second)
		}, true},
		"it has one":        {1, func(s *stand, _ *Pair) { s.own(1, true) }, false},
		"another has one":   {1, func(s *stand, _ *Pair) { s.own(2, true) }, true},
		"it has asked":      {1, func(s *stand, _ *Pair) { s.pol.Acquire(selector.Flow{}, 1) }, false},
		"another had asked": {1, func(s *stand, _ *Pair) { s.pol.Acquire(selector.Flow{}, 2) }, true},
	} {
		s, main := grouped(t)
		tt.change(s, main)
		var before int
		if s.sa != nil {
			before = len(s.sa.requested)
		}
		s.plane = nil
		s.pol.Acquire(selector.Flow{}, tt.resource)
		asked := s.sa != nil && len(s.sa.requested) > before
		if asked != tt.want {
			t.Errorf("%s: requested %v", name, asked)
		}
		if asked && (s.sa.requested[before].Resource() != tt.resource || s.sa.requested[before].Settled()) {
			t.Errorf("%s: requested for worker %d", name, s.sa.requested[before].Resource())
		}
		s.wantPlane(name+": nothing waits for it", "")
	}
}

// A pair that is not for a single resource tells whether the peer makes such; a rekeyed one keeps
// what it had.
func TestGrouped(t *testing.T) {
	s, main := grouped(t)
	if !main.Grouped() || !main.SA.PerResource || main.SA.Resource != 0 {
		t.Errorf("the main pair is %+v", main.SA)
	}
	next := s.install(s.pol.Main(), true, func(a *Agreement) { a.Replaces = main })
	if !next.Grouped() || !s.pol.group.able {
		t.Error("a rekeying changes it")
	}
	own := s.own(2, true)
	if own.SA.Resource != 2 || !own.SA.PerResource || !s.pol.group.able {
		t.Errorf("the worker's pair is %+v", own.SA)
	}
	s.workers = 1
	if p := s.install(s.pol.Main(), true, func(a *Agreement) { a.Grouped = true }); p.SA.PerResource || !p.Grouped() {
		t.Error("a single worker has pairs of its own")
	}
	s.workers = 2
	if p := s.install(s.pol.Main(), true, nil); p.Grouped() || p.SA.PerResource || s.pol.group.able {
		t.Error("the peer makes none, and is asked")
	}
}

// When the turn of a request comes it may have become needless.
func TestNeedless(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *stand, main *Pair)
		want   bool
	}{
		"nothing has changed":          {func(*stand, *Pair) {}, false},
		"the main pair is gone":        {func(_ *stand, main *Pair) { main.Lost(EndPeer, "") }, true},
		"the peer refused another":     {func(s *stand, _ *Pair) { s.pol.Main().Pause(time.Minute) }, true},
		"the peer made one":            {func(s *stand, _ *Pair) { s.own(1, false) }, true},
		"the peer made another's":      {func(s *stand, _ *Pair) { s.own(2, false) }, false},
		"it is on another carrier":     {func(_ *stand, main *Pair) { main.carrier = &stillSA{} }, true},
		"it is no longer configured":   {func(s *stand, _ *Pair) { s.pol.Close() }, true},
		"the peer makes none any more": {func(s *stand, _ *Pair) { s.pol.NoFurther() }, true},
	} {
		s, main := grouped(t)
		s.pol.Acquire(selector.Flow{}, 1)
		tt.change(s, main)
		if got := s.sa.requested[0].Needless(s.sa); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The peer's pair is for the worker that has the fewest. A request of ours that waits for its turn
// makes its worker the first, one that is under way counts as a pair.
func TestFreeChain(t *testing.T) {
	s, _ := grouped(t)
	s.workers = 4
	next := func() int { return s.pol.FreeChain().Resource() }
	if next() != 1 {
		t.Errorf("the first is for worker %d", next())
	}
	s.own(1, true)
	s.own(2, true)
	s.pol.Acquire(selector.Flow{}, 4)
	if next() != 4 {
		t.Errorf("worker 4 waits for one, and worker %d gets it", next())
	}
	s.sa.requested[0].Asking()
	if next() != 3 {
		t.Errorf("worker 3 has none, and worker %d gets it", next())
	}
	s.own(3, true)
	s.own(1, true)
	s.own(2, true)
	if next() != 3 {
		t.Errorf("worker 3 has one, and worker %d gets it", next())
	}
	s.workers = 0
	if (&Policy{table: s.table}).FreeChain().Resource() != 1 {
		t.Error("without workers")
	}
}

// A refusal is reported and followed by a pause; the request has ended then.
func TestRefusedResource(t *testing.T) {
	s, _ := grouped(t)
	s.pol.Acquire(selector.Flow{}, 2)
	l := s.sa.requested[0]
	l.Asking()
	l.Failed(Trouble{Reason: "for the test"})
	l.RequestEnded()
	if r := s.reports; len(r) != 1 || r[0].Event != "resource-failed" || r[0].Reason != "no Child SA of worker 1: for the test" || r[0].Policy != s.pol || r[0].Pair != nil {
		t.Errorf("reported %+v", r)
	}
	s.pass(10*time.Minute - 1)
	s.pol.Acquire(selector.Flow{}, 2)
	if len(s.sa.requested) != 1 || len(s.pol.Further()) != 0 {
		t.Error("the peer is asked again before the pause is over")
	}
	s.pass(1)
	s.pol.Acquire(selector.Flow{}, 2)
	if len(s.sa.requested) != 2 {
		t.Error("the peer is not asked after the pause")
	}
	if !slices.Equal(s.pol.chains(), []*Chain{s.pol.Main(), s.sa.requested[1]}) {
		t.Errorf("the chains are %v", s.pol.chains())
	}
}

// A request of a chain that has been merged meanwhile leaves it merged.
func TestRequestEndedAfterAMerge(t *testing.T) {
	s, main := grouped(t)
	s.pol.Acquire(selector.Flow{}, 1)
	l := s.sa.requested[0]
	s.install(l, true, func(a *Agreement) { a.Further, a.Grouped = true, true })
	main.Lost(EndPeer, "")
	l.RequestEnded()
	if l.Settled() || l.Now() != s.pol.Main() {
		t.Error("the chain is back")
	}
}
