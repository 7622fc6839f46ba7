package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// A day of short lifetimes on both sides: everything is rekeyed in time, by either side, and
// nothing is lost.
func TestLifetimes(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].Lifetime = time.Hour
			s.peers[0].Children[0].Lifetime = 10 * time.Minute
		}
	})
	p.up()
	for range 24 * 60 {
		p.drive(time.Minute)
		p.left.traffic("lan")
		p.right.traffic("lan")
	}
	p.drive(10 * time.Second)
	p.wantNoLoss()
	p.wantSound()
	st := p.left.e.Status()[0]
	if st.State != PeerEstablished || st.Children[0].Rekeys < 24*6 {
		t.Errorf("state %d with %d rekeyings, want established with at least %d", st.State, st.Children[0].Rekeys, 24*6)
	}
	if up := p.now.Sub(st.Established); up < 24*time.Hour {
		t.Errorf("status says up for %v: rekeyings are no new beginning", up)
	}
	if p.left.requests(wire.IKESAInit)+p.right.requests(wire.IKESAInit) != 1 {
		t.Error("the IKE SA was made anew, not rekeyed")
	}
	if p.left.requests(wire.CreateChildSA) == 0 || p.right.requests(wire.CreateChildSA) > 0 {
		t.Errorf("left asked %d times and right %d: the side that made an SA rekeys it", p.left.requests(wire.CreateChildSA), p.right.requests(wire.CreateChildSA))
	}
}

// Byte and packet limits, as the dataplane reports them.
func TestExpire(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	lan := p.left.policy("lan")
	first := p.left.plane.ofPolicy(lan)[0].sa
	p.left.handle(Expire{ID: first.ID})
	p.left.handle(Expire{ID: first.ID}) // a second report changes nothing
	p.drive(10 * time.Second)
	p.wantTunnel()
	second := p.left.plane.ofPolicy(lan)[0].sa
	if second.SPIIn == first.SPIIn {
		t.Fatal("not rekeyed at the soft limit")
	}
	p.left.handle(Expire{ID: first.ID, Hard: true}) // late, for what is gone
	p.left.handle(Expire{ID: second.ID, Hard: true})
	p.drive(10 * time.Second)
	p.wantNoChild("lan")
	p.left.traffic("lan")
	p.drive(2 * time.Second)
	p.wantTunnel()
}

// The hard end of a child that could not be rekeyed, and of an IKE SA.
func TestHardLifetimes(t *testing.T) {
	for _, refused := range []string{"child", "IKE SA"} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].Children[0].Start = StartBoot
			if refused == "child" {
				p.left.peers[0].Children[0].Lifetime = 10 * time.Minute
			} else {
				p.left.peers[0].Lifetime = 10 * time.Minute
			}
		})
		p.up()
		// From now on the right refuses the proposals of a rekeying.
		cfg := &p.right.e.peers.order[0].cfg
		cfg.Proposals = []wire.Proposal{otherCipher(testIKEProposal)}
		p.right.e.peers.order[0].party.policies[0].Settings.Proposals = []wire.Proposal{otherCipher(testESPProposal)}
		before := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa
		p.drive(10*time.Minute + 50*time.Second)
		p.wantChild(p.left, "lan") // still the old one
		if got := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa; got.ID != before.ID {
			t.Fatalf("%s: child %d, want the old %d until its end", refused, got.ID, before.ID)
		}
		p.drive(20 * time.Second)
		p.wantNoChild("lan")
		cfg.Proposals = []wire.Proposal{testIKEProposal}
		p.right.e.peers.order[0].party.policies[0].Settings.Proposals = []wire.Proposal{testESPProposal}
		p.drive(5 * time.Minute)
		p.wantTunnel()
	}
}

// RFC 7296, Section 2.25: TEMPORARY_FAILURE is tried again in a while, but not for ever.
func TestTemporaryFailureForEver(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.up()
	q := p.right.e.peers.order[0].party.policies[0].Main().Pairs()[0]
	q.Replaced(nil) // the right's idea of things is wrong
	q.RekeyIn(24 * time.Hour)
	ref := p.left.rekey("lan")
	p.drive(5 * time.Minute)
	p.wantNotice(p.left, "ike-down")
	p.wantTunnel()
	if !p.left.answered[ref] {
		t.Error("the command was not answered")
	}
	if n := p.left.requests(wire.CreateChildSA); n < 10 || n > temporaryTries+1 {
		t.Errorf("asked %d times, want some, but at most %d", n, temporaryTries+1)
	}
}

// The peer knows nothing of the pair that we want rekeyed: a new one is made.
func TestChildSANotFound(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	var fx Effects
	p.right.e.handling = handling{now: p.now, fx: &fx}
	p.right.e.pairs.Pair(1).Lost(child.EndLocal, "the right forgot it")
	for _, f := range fx.List {
		p.right.do(f)
	}
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	p.wantTunnel()
	if n := p.left.plane.ofPolicy(p.left.policy("lan")); n[0].sa.ID != 2 {
		t.Errorf("child %d, want a second one", n[0].sa.ID)
	}
}
