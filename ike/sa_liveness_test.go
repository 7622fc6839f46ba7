package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// An idle tunnel is not probed: liveness is checked only if we send and receive nothing (RFC 7296,
// Section 2.4).
func TestNoProbesWithoutNeed(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.drive(20 * time.Minute)
	for range 20 {
		p.left.traffic("lan")
		p.right.traffic("lan")
		p.drive(10 * time.Second)
	}
	for _, s := range []*testSide{p.left, p.right} {
		if n := s.requests(wire.Informational); n > 0 {
			p.fatalf("%s sends %d INFORMATIONAL requests", s.name, n)
		}
	}
}

// One-way traffic is checked at most once in each interval, and goes on.
func TestProbesOneWayTraffic(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	for range 600 {
		p.left.traffic("lan")
		p.drive(time.Second)
	}
	if n := p.left.requests(wire.Informational); n < 15 || n > 20 {
		p.fatalf("%d probes in 10 minutes with an interval of 30 s", n)
	}
	if n := p.right.requests(wire.Informational); n > 0 {
		p.fatalf("the side that hears everything sends %d", n)
	}
	p.wantTunnel()
}

// A peer that is sent to on one Child SA and heard on another is not probed, whichever the
// dataplane answers for first.
func TestNoProbesAcrossChildren(t *testing.T) {
	for _, way := range [][2]string{{"lan", "two"}, {"two", "lan"}} {
		p := newPair(t, 1, func(p *testPair) {
			twoChildren(p)
			p.left.peers[0].DPD = 30 * time.Second
		})
		p.wantDone(p.left, p.left.connectFor2s(), "")
		ref := p.left.connect("two")
		p.drive(2 * time.Second)
		p.wantDone(p.left, ref, "")
		for range 300 {
			p.left.traffic(way[0])
			p.right.traffic(way[1])
			p.drive(time.Second)
		}
		if n := p.left.requests(wire.Informational); n > 0 {
			p.fatalf("sent on %s and heard on %s: %d probes, want none", way[0], way[1], n)
		}
	}
}

// A dead peer, and what dpd_action makes of its children.
func TestDeadPeer(t *testing.T) {
	for _, c := range []struct {
		action DPDAction
		start  StartMode
		after  ChildState // with the peer still dead, and traffic
		back   bool       // up again by itself once the peer is back
	}{
		{DPDRestart, StartTraffic, ChildNegotiating, true},
		{DPDRestart, StartBoot, ChildNegotiating, true},
		{DPDTrap, StartBoot, ChildNegotiating, true},
		{DPDClear, StartTraffic, ChildDown, false},
	} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].DPDAction = c.action
			p.left.peers[0].Children[0].Start = c.start
		})
		p.up()
		p.right.kill()
		detected := p.waitFor(3*time.Minute, func() bool {
			p.left.traffic("lan")
			return len(p.left.plane.sas) == 0
		})
		if detected > 60*time.Second+28*time.Second { // up to two intervals, and the probe's own tries
			p.fatalf("dead only after %v", detected)
		}
		p.wantNotice(p.left, "peer-dead")
		for range 3 {
			p.left.traffic("lan")
			p.drive(time.Second)
		}
		if st := p.left.e.Status()[0].Children[0]; st.State != c.after {
			t.Errorf("action %d, start %d: the child is in state %d, want %d: %s", c.action, c.start, st.State, c.after, st.Reason)
		}
		p.right.start()
		took := p.waitFor(5*time.Minute, func() bool {
			p.left.traffic("lan")
			return p.left.plane.senders() == 1
		})
		if up := took < 5*time.Minute; up != c.back {
			t.Errorf("action %d, start %d: up again %v, want %v", c.action, c.start, up, c.back)
		}
	}
}

// waitFor drives the clock until the condition holds, and says how long that took.
func (p *testPair) waitFor(most time.Duration, met func() bool) time.Duration {
	start := p.now
	for p.now.Sub(start) < most && !met() {
		p.drive(time.Second)
	}
	return p.now.Sub(start)
}

// A child that an operator asked for, and that waits for no traffic, is restarted when its peer
// died or restarted, or its lifetime ended, with pauses also while the peer refuses it, until it is
// taken down.
func TestRestartOfWhatWasAskedFor(t *testing.T) {
	end := map[string]func(p *testPair){
		"the peer deletes it": func(p *testPair) {
			p.right.disconnect("")
		},
		"the peer dies": func(p *testPair) {
			p.right.kill()
			p.waitFor(3*time.Minute, func() bool {
				p.left.traffic("lan")
				return len(p.left.plane.sas) == 0
			})
			p.drive(5 * time.Minute)
			p.right.start()
		},
		"the peer restarts": func(p *testPair) {
			p.right.kill()
			p.right.start()
			p.right.connect("two")
		},
		"it expires": func(p *testPair) {
			p.left.handle(Expire{ID: p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.ID, Hard: true})
		},
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				twoChildren(p)
				p.left.peers[0].Children[0].Start = StartNever
				p.left.peers[0].DPD = 30 * time.Second
			})
			p.wantDone(p.left, p.left.connectFor2s(), "")
			end(p)
			p.drive(90 * time.Second)
			p.wantChild(p.left, "lan")
			p.right.kill()
			p.left.disconnect("lan")
			p.left.disconnect("")
			p.drive(5 * time.Minute)
			if p.left.policyOf("lan").Wanted() {
				t.Error("what was taken down is wanted")
			}
		})
	}
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartNever })
	p.up()
	p.right.kill()
	p.right.peers[0].Children = []Child{testChild(p.right, "other", 7)}
	p.right.start()
	p.waitFor(3*time.Minute, func() bool {
		p.left.traffic("lan")
		return len(p.left.plane.sas) == 0
	})
	p.drive(2 * time.Minute)
	if tries := p.left.requests(wire.CreateChildSA); !p.left.policyOf("lan").Wanted() || tries < 3 || tries > 20 {
		t.Errorf("wanted %v, %d tries while the peer refuses", p.left.policyOf("lan").Wanted(), tries)
	}
	p.left.disconnect("lan")
	if p.left.policyOf("lan").Wanted() {
		t.Error("what was taken down is tried")
	}
}

// policyOf returns the engine's policy of a child of the first peer.
func (s *testSide) policyOf(name string) *child.Policy {
	return s.e.peers.order[0].party.policyNamed(name)
}

// TestDeleteOfARedundantIKESAIsLost: after both sides connected at once, the Delete of one IKE SA
// is lost with all its repetitions. No packets are sent on it that would show that, whichever was
// begun first, so the peer checks it.
func TestDeleteOfARedundantIKESAIsLost(t *testing.T) {
	lost := 0
	for seed := uint64(1); seed <= 8; seed++ {
		p := newPair(t, seed, func(p *testPair) {
			for _, s := range p.sides() { // the Delete is repeated until the redundant Child SA is gone
				s.peers[0].DPD, s.peers[0].Retransmit = 30*time.Second, window.RetransmitPlan{First: 4 * time.Second, Factor: 2, Tries: 5}
			}
		})
		link := p.link
		p.link = func(pk *testPacket) []time.Duration {
			for _, s := range pk.from.e.sas.bySPI {
				if pk.msg != nil && !pk.msg.hdr.Response && s.state == saClosing && s.spi.I == pk.msg.hdr.InitiatorSPI {
					lost++
					return nil
				}
			}
			return link(pk)
		}
		p.left.connect("lan")
		p.right.connect("lan")
		p.drive(12 * time.Minute)
		for _, s := range p.sides() {
			if n := len(s.e.sas.bySPI); n != 1 {
				p.violated("%s has %d IKE SAs at rest", s.name, n)
			}
		}
		p.wantSound()
		p.wantTunnel()
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
}
