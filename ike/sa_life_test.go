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

// TestHardEndDuringARekeying has the lifetime of an IKE SA end while its successor is being made,
// by either side, with a group that takes seconds: at left, in its last steps, or at right, of
// whose response left learns afterwards. The successor stays, with the Child SAs, and nothing is
// lost.
func TestHardEndDuringARekeying(t *testing.T) {
	for name, c := range map[string]struct {
		rekeys, both bool // left rekeys; both do, and left's request is lost
		end          time.Duration
		tries        bool // until the response is there left tries to make another IKE SA
	}{
		"left rekeys, right computes":    {true, false, 4 * time.Second, true},
		"left rekeys, left computes":     {true, false, 7 * time.Second, false},
		"right rekeys, left computes":    {false, false, 4 * time.Second, false},
		"both rekey, and left's is lost": {true, true, 7 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, nil)
			p.up()
			p.compute = func() time.Duration { return 3 * time.Second }
			if s := p.left.main(); c.rekeys {
				p.left.rekey("")
				p.left.e.timers.Set(&s.life.hard, p.now.Add(c.end))
			} else {
				p.right.rekey("")
				p.left.e.timers.Set(&s.life.hard, p.now.Add(c.end))
			}
			link := p.link
			if c.both {
				p.right.rekey("")
				p.link = func(pk *testPacket) []time.Duration {
					if pk.from == p.left && pk.msg != nil && pk.msg.hdr.Exchange == wire.CreateChildSA && !pk.msg.hdr.Response {
						return nil
					}
					return link(pk)
				}
			}
			old := p.left.main()
			p.flowUntil(p.now.Add(12*time.Second), func() bool { return false })
			p.link = link
			p.flowUntil(p.now.Add(2*time.Minute), func() bool { return false })
			p.drive(time.Second)
			p.wantNoLoss()
			p.wantTunnel()
			n := p.left.requests(wire.IKESAInit) + p.right.requests(wire.IKESAInit)
			if n > 2 || n > 1 && !c.tries || p.left.main() == old || !old.state.ended() {
				t.Errorf("%d IKE SAs were begun; the old one is %v", n, old.state)
			}
			for _, s := range p.sides() {
				if len(s.e.sas.bySPI) != 1 || s.said("child-down") > 0 {
					t.Errorf("%s has %d IKE SAs: %s", s.name, len(s.e.sas.bySPI), s.saidAll())
				}
			}
		})
	}
}

// TestHardEndOfAnUnusedKey: at the end of the lifetime a rekeying of which nothing was sent yet is
// dropped.
func TestHardEndOfAnUnusedKey(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.compute = func() time.Duration { return 3 * time.Second }
	old := p.left.main()
	ref := p.left.rekey("")
	p.left.e.timers.Set(&old.life.hard, p.now.Add(time.Second))
	p.drive(5 * time.Second)
	p.wantDone(p.left, ref, "is being deleted")
	if !old.state.ended() {
		t.Errorf("the old IKE SA is %v", old.state)
	}
}
