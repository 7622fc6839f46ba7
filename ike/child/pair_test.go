package child

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// A pair that we asked for is sent on at once; one that the peer asked for when the peer has it, at
// the latest after useDelay.
func TestWhenAPairIsUsed(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.install(s.pol.Main(), true, nil)
	p.UseNow()
	s.wantPlane("asked by us", "install 1, send 1")

	s = newStand(t, onDemand(0))
	s.install(s.pol.Main(), false, nil).UseSoon()
	s.pass(800*time.Millisecond - 1)
	s.wantPlane("asked by the peer", "install 1")
	s.pass(1)
	s.wantPlane("after the delay", "send 1")

	s = newStand(t, onDemand(0))
	p = s.install(s.pol.Main(), false, nil)
	p.UseSoon()
	p.Saw(ipsec.Traffic{Out: s.now})
	s.wantPlane("what we sent proves nothing", "install 1")
	p.Saw(ipsec.Traffic{In: s.now, Out: s.now})
	s.wantPlane("a packet came", "send 1")
	s.pass(useDelay)
	p.Saw(ipsec.Traffic{In: s.now, Out: s.now})
	s.wantPlane("it is sent on already", "")
	if got := p.Seen(); got.In != s.now || got.Out != s.now {
		t.Errorf("seen %+v", got)
	}
}

// While the chain sends on another pair, the delay alone does not move sending to the peer's pair,
// but a packet on it does. The old one can still be sent on until it is deleted.
func TestSendingMovesWithThePeer(t *testing.T) {
	s := newStand(t, onDemand(0))
	old := s.ours()
	p := s.install(s.pol.Main(), false, func(a *Agreement) { a.Replaces = old })
	old.Replaced(p)
	p.UseSoon()
	s.plane = nil
	s.pass(10 * useDelay)
	s.wantPlane("after the delay", "")
	old.Saw(ipsec.Traffic{In: s.now})
	s.wantPlane("a packet on the old one", "")
	p.Saw(ipsec.Traffic{In: s.now})
	s.wantPlane("a packet on the new one", "send 2")
	if old.outbound != outSuperseded || p.outbound != outActive {
		t.Errorf("the old one's outbound SA is %d, the new one's %d", old.outbound, p.outbound)
	}
	old.Lost(EndPeer, "deleted")
	s.wantPlane("the old one is deleted", "stop 1")
	if p.Creator() || !old.Creator() || p.Chain() != s.pol.Main() || p.Policy() != s.pol || p.Carrier() != s.sa || old.Carrier() != nil {
		t.Errorf("got %v and %v", p, old)
	}
}

// A pair for a worker that the peer may not have yet is left alone for longer, because the main one
// can be sent on.
func TestWorkersPairWaitsUntilThePeerHasIt(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.ours()
	q := s.own(1, false)
	q.UseSoon()
	s.plane = nil
	s.pass(provenLimit - 1)
	s.wantPlane("the peer may lack it", "")
	s.pass(useDelay + deletePause)
	s.wantPlane("the peer must have it", "send 2")

	q = s.own(2, false)
	q.UseSoon()
	q.Origin.(*fakeOrigin).proven = true
	s.plane = nil
	s.pass(useDelay)
	s.wantPlane("the carrier knows that the peer has it", "send 3")
}

// A pair that is not in use, or not the best of its chain, is not sent on when its time comes.
func TestUnusedPairs(t *testing.T) {
	for name, tt := range map[string]func(s *stand, p *Pair){
		"being deleted": func(s *stand, p *Pair) { p.moveTo(Deleting) },
		"another one is newer": func(s *stand, p *Pair) {
			s.install(s.pol.Main(), false, nil)
		},
		"replaced": func(s *stand, p *Pair) { p.moveTo(Replaced) },
		"held":     func(s *stand, p *Pair) { s.pol.held = true },
	} {
		s := newStand(t, onDemand(0))
		p := s.install(s.pol.Main(), false, nil)
		tt(s, p)
		s.plane = nil
		p.useAlone()
		s.wantPlane(name, "")
	}
}

// A held policy sends on nothing, whatever comes.
func TestHeldPairIsNotActivated(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.install(s.pol.Main(), false, nil)
	s.pol.Hold()
	s.plane = nil
	p.Saw(ipsec.Traffic{In: s.now})
	p.UseNow()
	s.pass(time.Minute)
	s.wantPlane("held", "")
}

// proven: we asked for it, or packets came, or the carrier knows.
func TestProven(t *testing.T) {
	s := newStand(t, onDemand(0))
	for name, tt := range map[string]struct {
		creator, known, seen, want bool
	}{
		"nothing is known":  {},
		"we asked for it":   {creator: true, want: true},
		"the carrier knows": {known: true, want: true},
		"packets came":      {seen: true, want: true},
	} {
		p := s.install(s.pol.Main(), tt.creator, func(a *Agreement) { a.Origin = &fakeOrigin{proven: tt.known} })
		if tt.seen {
			p.seen.In = s.now
		}
		if got := p.proven(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A new pair is reported with its SPIs and with what it carries.
func TestCameUp(t *testing.T) {
	s := newStand(t, Settings{Name: "lan", Local: networks("10.1.0.0/16"), Remote: networks("10.2.0.0/16")})
	p := s.ours()
	p.CameUp()
	if len(s.reports) != 1 {
		t.Fatalf("reported %+v", s.reports)
	}
	const want = "Child SA 00000001 in, 00000065 out: 10.1.0.0/16 with 10.2.0.0/16"
	if r := s.reports[0]; r.Event != "child-up" || r.Text != want || r.Pair != p || r.Policy != s.pol || r.Warn {
		t.Errorf("reported %+v", r)
	}
}
