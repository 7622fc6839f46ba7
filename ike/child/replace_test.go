package child

import (
	"testing"
	"time"

	"culvert/ike/timer"
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

// A replaced pair is deleted by this side if the other one has not, as long as what replaces it is
// in use; otherwise it is used again, and rekeyed soon.
func TestReplacedEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *stand, p *Pair)
		want   State
		delete bool
	}{
		"its successor is in use": {func(*stand, *Pair) {}, Deleting, true},
		"its successor is being deleted": {func(_ *stand, p *Pair) {
			p.moveTo(Deleting)
		}, Live, false},
		"its successor is replaced": {func(_ *stand, p *Pair) { p.moveTo(Replaced) }, Live, false},
		"its successor has ended":   {func(_ *stand, p *Pair) { p.Lost(EndPeer, "") }, Live, false},
	} {
		s := newStand(t, onDemand(0))
		old, p := s.ours(), s.ours()
		old.Replaced(p)
		if old.State() != Replaced || old.Next() != p || !old.RekeyAt().IsZero() {
			t.Fatalf("%s: it is %v, replaced by %v", name, old.State(), old.Next())
		}
		tt.change(s, p)
		s.pass(replacedLife - 1)
		s.wantDeleted(name + ", before its time")
		s.pass(1)
		if old.State() != tt.want {
			t.Errorf("%s: it is %v, want %v", name, old.State(), tt.want)
		}
		if tt.delete {
			s.wantDeleted(name, "1: replaced, but the peer did not delete it")
		} else {
			s.wantDeleted(name)
		}
		if tt.want != Live {
			continue
		}
		if old.Next() != nil || old.Origin.(*fakeOrigin).revived != 1 {
			t.Errorf("%s: replaced by %v, revived %d times", name, old.Next(), old.Origin.(*fakeOrigin).revived)
		}
		s.pass(timer.TemporaryPause)
		s.wantRekeyed(name, old)
	}
}

// A pair that ended meanwhile, or is in use again, has no end of that kind.
func TestReplacedEndComesLate(t *testing.T) {
	s := newStand(t, onDemand(0))
	old, p := s.ours(), s.ours()
	old.Replaced(p)
	old.Revive()
	old.Revive()
	if n := old.Origin.(*fakeOrigin).revived; n != 1 {
		t.Errorf("revived %d times", n)
	}
	old.replacedEnd()
	s.wantDeleted("in use again")
	old.Replaced(p)
	old.Lost(EndPeer, "")
	old.replacedEnd()
	s.wantDeleted("it has ended")
	if old.State() != Lingering {
		t.Errorf("it is %v", old.State())
	}
	p.moveTo(Replaced)
	q := s.ours()
	p.Replaced(q) // by another one than before
	if p.State() != Replaced || p.Next() != q {
		t.Errorf("it is %v, replaced by %v", p.State(), p.Next())
	}
}

// Of two pairs of one chain that neither side made in place of the other, one stays: of those of
// both sides by the rule that both apply, of two of ours the younger. Its creator deletes the other
// one, but not before the packets in flight have come.
func TestSettleRedundant(t *testing.T) {
	for name, tt := range map[string]struct {
		old, new  bool // whether we asked for it
		ranks     [2]int
		change    func(s *stand, old, p *Pair)
		gone      int // which is replaced: 1 the old one, 2 the new one
		deletedBy bool
	}{
		"ours, then theirs, which stays":   {true, false, [2]int{1, 2}, nil, 1, true},
		"ours, which stays, then theirs":   {true, false, [2]int{2, 1}, nil, 2, false},
		"theirs, then ours, which stays":   {false, true, [2]int{1, 2}, nil, 1, false},
		"theirs, which stays, then ours":   {false, true, [2]int{2, 1}, nil, 2, true},
		"both ours":                        {true, true, [2]int{2, 1}, nil, 1, true},
		"both theirs":                      {false, false, [2]int{2, 1}, nil, 0, false},
		"the peer is replacing the old":    {true, true, [2]int{1, 2}, func(_ *stand, old, _ *Pair) { old.Origin.(*fakeOrigin).crossed = true }, 0, false},
		"the old one is being deleted":     {true, true, [2]int{1, 2}, func(_ *stand, old, _ *Pair) { old.moveTo(Deleting) }, 0, false},
		"the new one is being deleted":     {true, true, [2]int{1, 2}, func(_ *stand, _, p *Pair) { p.moveTo(Deleting) }, 0, false},
		"the old one is on another SA":     {true, true, [2]int{1, 2}, func(_ *stand, old, _ *Pair) { old.carrier = &stillSA{} }, 0, false},
		"the old one is of another worker": {true, true, [2]int{1, 2}, func(s *stand, _, p *Pair) { p.chain.remove(p); (&Chain{policy: s.pol, resource: 1}).add(p) }, 0, false},
	} {
		s := newStand(t, onDemand(0))
		old := s.install(s.pol.Main(), tt.old, func(a *Agreement) { a.Origin = &fakeOrigin{rank: tt.ranks[0], proven: true} })
		p := s.install(s.pol.Main(), tt.new, func(a *Agreement) { a.Origin = &fakeOrigin{rank: tt.ranks[1], proven: true} })
		if tt.change != nil {
			tt.change(s, old, p)
		}
		p.SettleRedundant()
		gone := 0
		for i, q := range []*Pair{old, p} {
			if q.State() == Replaced {
				gone += i + 1
			}
		}
		if gone != tt.gone {
			t.Errorf("%s: replaced %d, want %d", name, gone, tt.gone)
			continue
		}
		s.pass(lingerPair - 1)
		s.wantDeleted(name + ", before its time")
		s.pass(1)
		if tt.deletedBy {
			s.wantDeleted(name, []string{"", "1: redundant", "2: redundant"}[tt.gone])
		} else {
			s.wantDeleted(name)
		}
	}
}

// A rekeying of ours: the new pair is sent on, the old one and those that the peer made in its
// place are replaced, and we delete the old one.
func TestSupersedes(t *testing.T) {
	s := newStand(t, onDemand(0))
	old := s.ours()
	theirs := s.install(s.pol.Main(), false, func(a *Agreement) { a.Replaces = old })
	p := s.install(s.pol.Main(), true, func(a *Agreement) { a.Replaces = old })
	s.plane, s.reports = nil, nil
	p.Replaces(old)
	p.Supersedes(old, theirs)
	s.wantPlane("the new one is sent on", "send 3")
	s.wantDeleted("ours to delete", "1: rekeyed")
	old.Lost(EndReplaced, "rekeyed")
	s.wantPlane("the old one lingers", "stop 1")
	if old.Next() != p || theirs.Next() != p || theirs.State() != Replaced || s.pol.Rekeys() != 1 {
		t.Errorf("the peer's is %v; %d rekeyings", theirs.State(), s.pol.Rekeys())
	}
	if r := s.reports[0]; r.Event != "child-rekeyed" || r.Text != "Child SA 00000003 in, 00000067 out replaces Child SA 00000001 in, 00000065 out" {
		t.Errorf("reported %+v", r)
	}
	s.reports = nil
	third := s.install(s.pol.Main(), true, func(a *Agreement) { a.Origin = &fakeOrigin{proven: true} })
	fourth := s.install(s.pol.Main(), true, func(a *Agreement) { a.Replaces = p })
	fourth.Supersedes(p)
	if third.State() != Replaced || third.Next() != fourth {
		t.Errorf("a redundant one is %v, replaced by %v", third.State(), third.Next())
	}
}

// A pair that one on another carrier replaces is deleted later: which carrier stays may be decided
// otherwise until then.
func TestReplacedByAnotherCarrier(t *testing.T) {
	s := newStand(t, onDemand(0))
	old := s.ours()
	first := s.sa
	s.sa = &stillSA{established: true}
	old.Replaced(s.ours())
	s.sa = first
	s.pass(2*replacedLife - 1)
	s.wantDeleted("before its time")
	s.pass(1)
	s.wantDeleted("then", "1: replaced, but the peer did not delete it")
}

// A pair that one on another carrier was to replace is in use again as soon as that ends, also if
// that was not sent on: the other carrier went, and the peer may rekey the pair at once.
func TestReplacementOnAnotherCarrierEnds(t *testing.T) {
	for _, ending := range []bool{false, true} {
		s := newStand(t, onDemand(0))
		old := s.ours()
		first := s.sa
		s.sa = &stillSA{established: true}
		next := s.install(s.pol.Main(), false, nil)
		old.Replaced(next)
		first.ending = ending
		next.Lost(EndPeer, "")
		if live := old.State() == Live; live == ending {
			t.Errorf("its carrier ends: %v; it is %v", ending, old.State())
		}
	}
}
