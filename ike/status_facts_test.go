package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/wire"
)

// facts returns the facts of the side's first peer.
func (s *testSide) facts() Facts {
	s.handle(Wake{})
	return s.e.Status()[0].Facts
}

// TestFactsOfSilence: what was asked of a peer that does not answer, and how often, over all
// attempts until it is heard.
func TestFactsOfSilence(t *testing.T) {
	silent := true
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.right.peers[0].Remote, p.right.peers[0].Local = nil, netip.Addr{}
		link := p.link
		p.link = func(pk *testPacket) []time.Duration {
			if silent {
				return nil
			}
			return link(pk)
		}
	})
	begun := p.now
	p.drive(6 * time.Second)
	f := p.left.facts()
	if a := f.Asked; a.Exchange != wire.IKESAInit || a.Times != 3 || a.Since.Sub(begun) > time.Second || a.To != netip.MustParseAddrPort("192.0.2.2:500") || a.PortChanged {
		t.Errorf("after 6 s: %+v", a)
	}
	if !f.Wanted || !f.Calls || !f.Heard.IsZero() {
		t.Errorf("after 6 s: %+v", f)
	}
	if f := p.right.facts(); f.Calls || f.Wanted || f.Begun.Times > 0 {
		t.Errorf("of the one that is called: %+v", f)
	}
	p.drive(5 * time.Minute)
	sent := p.left.sentRequests[wire.IKESAInit]
	if a := p.left.facts().Asked; a.Times < 10 || a.Times < sent || a.Since.Sub(begun) > time.Second {
		t.Errorf("after several attempts: %+v", a)
	}
	silent = false
	p.waitFor(5*time.Minute, func() bool { return p.left.main() != nil })
	p.drive(time.Second)
	if f := p.left.facts(); f.Asked != (Asked{}) || f.Heard.IsZero() || p.left.e.peers.order[0].party.try.unanswered != (Asked{}) {
		t.Errorf("once it is up: %+v", f)
	}
}

// TestFactsOfASilentPort: IKE_SA_INIT is answered, and IKE_AUTH, which goes to the NAT port, is
// not. Attempts that follow do not hide it. The other side sees calls that do not go on.
func TestFactsOfASilentPort(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		older(p)
		p.left.peers[0].Children[0].Start, p.left.peers[0].Encap = StartBoot, EncapAlways
		link := p.link
		p.link = func(pk *testPacket) []time.Duration {
			if pk.dst.Port() == 4500 {
				return nil
			}
			return link(pk)
		}
	})
	p.drive(4 * time.Second)
	want := func(times int) {
		t.Helper()
		if a := p.left.facts().Asked; a.Exchange != wire.IKEAuth || !a.PortChanged || a.To.Port() != 4500 || a.Times < times {
			t.Errorf("%+v, want %d times", a, times)
		}
	}
	want(2)
	if b := p.right.facts().Begun; b.Times != 1 || p.now.Sub(b.Since) < 3*time.Second {
		t.Errorf("begun at the other side: %+v at %v", b, p.now)
	}
	was := p.left.facts().Asked.Times
	p.waitFor(5*time.Minute, func() bool { return p.left.main() == nil && !p.left.e.peers.order[0].party.trying() })
	want(was + 1)
	p.waitFor(5*time.Minute, func() bool { return p.left.e.peers.order[0].party.trying() })
	want(was + 1)
	p.drive(5 * time.Minute)
	if b := p.right.facts().Begun; b.Times > 1 {
		t.Errorf("calls whose time is over are counted: %+v", b)
	}
}

// TestFactsOfDoubt: a request on an IKE SA is told of when it had to be repeated.
func TestFactsOfDoubt(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].DPD = 5 * time.Second })
	p.up()
	heard := p.left.facts().Heard
	if heard.IsZero() {
		t.Error("the peer was never heard")
	}
	p.link = func(*testPacket) []time.Duration { return nil }
	for range 600 {
		p.left.traffic("lan")
		if p.drive(100 * time.Millisecond); p.left.facts().Asked.Times > 0 {
			break
		}
	}
	if f := p.left.facts(); f.Asked.Times != 2 || f.Asked.Exchange != wire.Informational || f.Heard != heard {
		t.Errorf("%+v, want the second request", f)
	}
}

// TestFactsOfARefusal: a peer that refuses is not silent.
func TestFactsOfARefusal(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.right.peers[0].PSK = []byte("another secret")
	})
	p.drive(10 * time.Second)
	if f := p.left.facts(); f.Asked != (Asked{}) {
		t.Errorf("%+v", f)
	}
}

// TestAskedTogether: attempts that were not answered count together, and one that got further than
// the one under way is shown until this one had its time.
func TestAskedTogether(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	init3, init1 := Asked{Exchange: wire.IKESAInit, Since: at(1), Times: 3}, Asked{Exchange: wire.IKESAInit, Since: at(9), Times: 1}
	auth4 := Asked{Exchange: wire.IKEAuth, Since: at(2), Times: 4}
	for _, c := range []struct{ was, now, want Asked }{
		{Asked{}, Asked{}, Asked{}},
		{Asked{}, init1, init1},
		{init3, Asked{}, init3},
		{init3, init1, Asked{Exchange: wire.IKESAInit, Since: at(1), Times: 4}},
		{auth4, init1, auth4},
		{auth4, Asked{Exchange: wire.IKESAInit, Since: at(9), Times: 2}, auth4},
		{auth4, init3, init3},
		{init3, auth4, auth4},
	} {
		if got := c.was.with(c.now); got != c.want {
			t.Errorf("%+v with %+v is %+v, want %+v", c.was, c.now, got, c.want)
		}
	}
}
