package ike

import (
	"testing"
	"time"

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
