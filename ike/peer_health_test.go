package ike

import (
	"net/netip"
	"testing"
	"time"
)

// One-way traffic is never answered, so only IKE can show a failure: within a DPD interval and one
// repetition.
func TestStandbyOfOneWayTraffic(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		g.oneWay = true
		g.left.peers[0].DPD = 5 * time.Second
	})
	g.flow(30 * time.Second)
	g.wantActive(g.gateways[0])
	g.unplug()
	start := g.now
	for g.active() == g.gateways[0] && g.now.Sub(start) < time.Minute {
		g.flow(everyPacket)
	}
	if took := g.now.Sub(start); took > 8*time.Second {
		g.fatalf("switched after %v", took)
	}
	g.wantActive(g.gateways[1])
}

// A peer whose IKE is slow, and whose packets come and go, stays active; only when its IKE is
// silent for long does the standby take over, still without a loss.
func TestPacketsCountMoreThanIKE(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(5 * time.Second)
	g.drop(g.gateways[0], onlyIKE)
	g.left.handle(Rekey{Peer: "right", Child: "lan", Ref: g.left.ref()})
	g.wantFlow(2 * time.Second)
	if g.left.main().win.Outstanding().Repeated == 0 {
		g.fatalf("the request was not repeated")
	}
	g.wantActive(g.gateways[0])
	g.wantFlow(time.Minute)
	g.wantActive(g.gateways[1])
}

// The answer to the packets of a trial may come after its end, over a long way.
func TestTrialOverALongWay(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.strangers()
	g.wantFlow(5 * time.Second)
	g.drop(g.gateways[0], onlyESP)
	g.flow(20 * time.Second)
	g.wantActive(g.gateways[1])
	g.link = steadyLink(400 * time.Millisecond)
	g.wantFlow(2 * (lastTrial + standbyHold + 2*probeEvery))
	g.wantActive(g.gateways[0])
}

// A peer that answers probes shows that packets arrive again, at the next probe.
func TestProbesOfThePreferred(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(5 * time.Second)
	g.drop(g.gateways[0], onlyESP)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	g.wantFlow(40 * time.Minute) // without a trial
	g.wantActive(g.gateways[1])
	g.repair()
	g.wantFlow(standbyHold - 2*time.Second)
	g.wantActive(g.gateways[1])
	g.wantFlow(2*probeEvery + 2*time.Second)
	g.wantActive(g.gateways[0])
}

// A preferred peer that comes back with its IKE while its ESP is dropped gets no packets if it
// would answer probes. Another one gets copies alone, as the packets of the standby are answered.
func TestPreferredWithoutESP(t *testing.T) {
	for _, culvert := range []bool{true, false} {
		g := newGroup(t, 2, nil)
		if !culvert {
			g.strangers()
		}
		g.wantFlow(5 * time.Second)
		g.killPreferred()
		g.flow(20 * time.Second)
		g.wantActive(g.gateways[1])
		g.drop(g.gateways[0], onlyESP)
		g.quiet()
		g.gateways[0].start()
		g.waitFor(time.Minute, func() bool { g.flow(everyPacket); return len(g.gateways[0].plane.sas) > 0 })
		g.flow(20 * time.Second)
		g.wantActive(g.gateways[1])
		if g.sent != g.answered {
			g.fatalf("%d packets were not answered", g.sent-g.answered)
		}
		g.repair()
		g.wantFlow(lastTrial + standbyHold + 2*probeEvery)
		g.wantActive(g.gateways[0])
	}
}

// A peer that takes one child down while its IKE does not pass is left when it gives its IKE SA up:
// until then its other child shows that it works.
func TestOneChildIsGone(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		for i, s := range g.gateways {
			lab := testChild(g.left, "lab", 1)
			back := lab
			back.Local, back.Remote, lab.Start = lab.Remote, lab.Local, StartBoot
			g.left.peers[i].Children = append(g.left.peers[i].Children, lab)
			s.peers[0].Children = append(s.peers[0].Children, back)
		}
	})
	both := func(d time.Duration) {
		for end := g.now.Add(d); g.now.Before(end); {
			g.left.plane.send(g.left.plane.matched(g.left.policy("lab")), 1)
			g.flow(everyPacket)
		}
	}
	both(20 * time.Second)
	right := g.gateways[0]
	g.wantActive(right)
	g.drop(right, onlyIKE)
	right.handle(Disconnect{Peer: "left", Child: "lan", By: "root", Ref: right.ref()})
	for end := g.now.Add(85 * time.Second); g.active() == right && g.now.Before(end); {
		both(time.Second)
	}
	g.wantActive(g.gateways[1])
}

// TestClosedWhileIKEIsCut has a peer that calls end the IKE SA while its IKE does not pass, since a
// reload gives it another local address. Until it gives the Delete up it answers probes on the old
// Child SA, and packets no more: that these are not answered counts, as IKE is not answered either.
func TestClosedWhileIKEIsCut(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		g.left.peers[0].Remote, g.left.peers[0].Children[0].Start = nil, StartTraffic
		g.gateways[0].peers[0].Children[0].Start = StartBoot
	})
	right := g.gateways[0]
	g.flow(20 * time.Second)
	g.wantActive(right)
	g.drop(right, onlyIKE)
	right.reload(editedPeer(right.peers[0], func(q *Peer) { q.Local = netip.Addr{} }), false)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	g.wantFlow(2 * time.Minute)
	g.wantActive(g.gateways[1])
	g.repair()
	g.wantFlow(2 * time.Minute)
	g.wantActive(right)
}
