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

// What becomes of a pair that ends: the last one is removed at once, one beside another lingers,
// unless the peer cannot send on it any more.
func TestLost(t *testing.T) {
	for name, tt := range map[string]struct {
		cause  Cause
		beside bool
		want   State
		plane  string
	}{
		"deleted, beside another":     {EndPeer, true, Lingering, "send 1, stop 2"},
		"expired, beside another":     {EndExpired, true, Lingering, "send 1, stop 2"},
		"the peer is dead":            {EndDead, true, Gone, "send 1, stop 2, remove 2"},
		"our address moved":           {EndMoved, true, Gone, "send 1, stop 2, remove 2"},
		"the peer restarted":          {EndRestarted, true, Gone, "send 1, stop 2, remove 2"},
		"the last one, deleted":       {EndPeer, false, Gone, "remove 1"},
		"the last one, of dead peers": {EndDead, false, Gone, "remove 1"},
	} {
		s := newStand(t, onDemand(0))
		if tt.beside {
			s.ours()
		}
		p := s.ours()
		s.plane, s.touched = nil, false
		p.Lost(tt.cause, "for the test")
		s.wantPlane(name, tt.plane)
		if p.State() != tt.want || p.Carrier() != nil || len(s.sa.bundle.Pairs()) != len(s.pol.Pairs()) || !s.touched {
			t.Errorf("%s: it is %v, carried by %v; touched %v", name, p.State(), p.Carrier(), s.touched)
		}
		if tt.beside {
			s.wantEvents(name)
		} else {
			s.wantEvents(name, "child-down")
		}
		p.Lost(tt.cause, "again")
		s.wantPlane(name+", again", "")
		s.pass(lingerPair - 1)
		if tt.want == Lingering {
			s.wantPlane(name+", before its end", "")
			s.pass(1)
			s.wantPlane(name+", at its end", "remove 2")
		}
		if s.timers.Len() != 0 || s.table.Pair(p.SA.ID) != nil {
			t.Errorf("%s: %d timers run, %v is in the table", name, s.timers.Len(), s.table.Pair(p.SA.ID))
		}
	}
}

// The end of a policy is told once: when the last pair in use is deleted, also where one that is
// being deleted ends later.
func TestEndIsToldOnce(t *testing.T) {
	s := newStand(t, onDemand(0))
	first, second := s.ours(), s.ours()
	first.Delete(EndLocal, "first")
	second.Lost(EndPeer, "second")
	s.wantEvents("none is in use", "child-down")
	first.Lost(EndLocal, "first")
	s.wantEvents("the last one of all", "child-down")

	s = newStand(t, onDemand(0))
	first, second = s.ours(), s.ours()
	first.Delete(EndLocal, "first")
	second.Delete(EndLocal, "second")
	first.Lost(EndLocal, "first")
	s.wantEvents("both are being deleted")
	second.Lost(EndLocal, "second")
	s.wantEvents("the last one", "child-down")
	if s.pol.Reason != "second" {
		t.Errorf("the reason is %q", s.pol.Reason)
	}
}

// What lingers goes when the last pair goes.
func TestLingeringEndsWithTheLast(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.ours()
	second, third := s.ours(), s.ours()
	third.Lost(EndPeer, "")
	second.Lost(EndPeer, "")
	if len(s.pol.lingering) != 2 {
		t.Fatalf("%d linger", len(s.pol.lingering))
	}
	s.plane = nil
	s.pol.Best().Lost(EndPeer, "")
	s.wantPlane("the last one", "remove 3, remove 2, remove 1")
	if s.table.Len() != 0 || len(s.pol.lingering) != 0 {
		t.Errorf("%d pairs are left, %d linger", s.table.Len(), len(s.pol.lingering))
	}
}

// A command to rekey fails with its pair, but not with the pair of a worker, whose traffic the main
// one takes over.
func TestAnswerEnd(t *testing.T) {
	s := newStand(t, onDemand(0))
	main, own := s.ours(), s.own(1, true)
	s.pol.Rekey(1)
	own.Lost(EndPeer, "first")
	if _, ok := s.done[1]; ok {
		t.Fatal("answered before its end")
	}
	main.Answer(nil)
	if err, ok := s.done[1]; !ok || err != nil {
		t.Errorf("answered %v: %v", ok, err)
	}
	main.Answer(errTest) // it has been answered
	if s.done[1] != nil || s.table.Unanswered() != 0 {
		t.Errorf("answered again: %v; %d are left", s.done[1], s.table.Unanswered())
	}
	s.wantEvents("the worker's", "resource-down")

	own = s.own(1, true)
	s.pol.Rekey(2)
	main.Delete(EndLocal, "second")
	own.Lost(EndPeer, "third")
	if err := s.done[2]; err == nil || err.Error() != "the Child SA ended: second" {
		t.Errorf("answered %v", err)
	}
	if s.table.Unanswered() != 0 {
		t.Errorf("%d commands are kept", s.table.Unanswered())
	}
}

// A peer that deletes a pair has the one that replaced it; the newest one, which the peer asked
// for, it may not have yet.
func TestSuccessorOfADeletedPair(t *testing.T) {
	for name, tt := range map[string]struct {
		seen, crossed bool
		want          string
	}{
		"the newest is unknown to the peer": {false, false, "send 2, stop 1"},
		"the replacement is replaced":       {false, true, "send 2, stop 1"},
		"packets came on the newest":        {true, false, "send 3, stop 1"},
	} {
		s := newStand(t, onDemand(0))
		old := s.ours()
		next := s.install(s.pol.Main(), false, nil)
		old.Replaced(next)
		newest := s.install(s.pol.Main(), false, nil)
		if tt.crossed {
			next.Replaced(newest)
		}
		if tt.seen {
			newest.seen.In = s.now
		}
		s.plane = nil
		old.Lost(EndPeer, "for the test")
		s.wantPlane(name, tt.want)
		if live := next.State() == Live; live == tt.crossed {
			t.Errorf("%s: the replacement is %v", name, next.State())
		}
	}
}

// TestSuccessorThatIsRekeyed has the peer delete an IKE SA of its own, and rekey the Child SA on
// the other one at the same time. What replaces that is unknown to the peer until our response
// arrives.
func TestSuccessorThatIsRekeyed(t *testing.T) {
	s := newStand(t, onDemand(0))
	old := s.ours()
	s.sa = &stillSA{established: true}
	s.install(s.pol.Main(), false, nil).Replaced(s.install(s.pol.Main(), false, nil))
	s.plane = nil
	old.Lost(EndPeer, "for the test")
	s.wantPlane("the other one is rekeyed", "send 2, stop 1")
}

// No timer of a pair outlives it.
func TestTimersEndWithThePair(t *testing.T) {
	s := newStand(t, onDemand(100*time.Second))
	p := s.install(s.pol.Main(), false, nil)
	p.UseSoon()
	if s.timers.Len() != 3 {
		t.Fatalf("%d timers run", s.timers.Len())
	}
	p.Lost(EndPeer, "for the test")
	if s.timers.Len() != 0 {
		t.Errorf("%d timers run", s.timers.Len())
	}
}
