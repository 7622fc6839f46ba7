package ike

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
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

// Nothing is sent, and the NAT port is asked again, which is blocked. That there is no answer from
// there is not a failure of the peer.
func TestSilentPortIsNotASilentPeer(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) { g.eat(ipsec.NAT) })
	g.left.connect("")
	g.drive(udpAgain - 10*time.Second)
	asked := g.left.e.Counters()["ike_path_checked"]
	switched := g.left.count("switched")
	g.drive(20 * time.Second)
	if n := g.left.e.Counters()["ike_path_checked"]; n == asked {
		g.fatalf("nobody was asked at the NAT port")
	}
	if n := g.left.count("switched"); n > switched {
		g.fatalf("packets went elsewhere %d times", n-switched)
	}
	g.wantActive(g.gateways[0])
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

// A peer that takes one child down while its IKE does not pass is left for that child, although
// packets of the other one show that the peer is there.
func TestOneChildIsGone(t *testing.T) {
	g := newGroupOfTwo(t, 2)
	right := g.gateways[0]
	g.wantFlow(20 * time.Second)
	g.wantActive(right)
	g.drop(right, onlyIKE)
	right.handle(Disconnect{Peer: "left", Child: "lan", By: "root", Ref: right.ref()})
	g.quiet()
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	g.wantGap(3 * time.Second)
	g.wantLab()
}

// wantGap checks that lan's packets were not without an answer for longer.
func (g *testGroup) wantGap(most time.Duration) {
	g.t.Helper()
	if g.gap > most {
		g.fatalf("no answer for %v", g.gap)
	}
}

// A child whose ESP does not pass, in one direction or both, while that of another child of the
// same peer does, is left alone: its packets go through the standby within a liveness check, and
// come back without a loss. The peer answers probes, or does not.
func TestOneChildWithoutESP(t *testing.T) {
	for _, culvert := range []bool{true, false} {
		for _, c := range []struct {
			name     string
			to, from bool
		}{{"to it", true, false}, {"from it", false, true}, {"both ways", true, true}} {
			t.Run(fmt.Sprintf("%s, answers probes: %t", c.name, culvert), func(t *testing.T) {
				g := newGroupOfTwo(t, 2)
				if !culvert {
					g.strangers()
				}
				right, spare := g.gateways[0], g.gateways[1]
				g.wantFlow(20 * time.Second)
				g.dropChild(right, "lan", c.to, c.from)
				g.quiet()
				g.flow(10 * time.Second)
				g.drive(time.Second)
				g.wantActive(spare)
				g.wantGap(3 * time.Second)
				g.wantLab()
				g.wantFlow(5 * time.Minute) // trials cost nothing
				g.wantActive(spare)
				g.repair()
				g.wantFlow(lastTrial + standbyHold + 2*probeEvery)
				g.wantActive(right)
				if now := g.activeFor("lab"); now != right {
					g.fatalf("packets of lab go through %s", now.name)
				}
				if n := g.left.e.Counters()["ike_switched"]; n != 2 {
					g.fatalf("switched %d times", n)
				}
			})
		}
	}
}

// A child that carries one-way traffic beside another one stays where it is, whether or not it had
// answers before.
func TestOneChildIsOneWay(t *testing.T) {
	g := newGroupOfTwo(t, 2)
	g.silent = "lan"
	g.flow(time.Minute)
	g.silent = ""
	g.wantFlow(20 * time.Second)
	g.silent = "lan"
	g.quiet()
	g.flow(time.Minute)
	g.drive(time.Second)
	g.wantActive(g.gateways[0])
	g.wantLab()
	if n := g.left.e.Counters()["ike_switched"]; n != 0 {
		g.fatalf("switched %d times", n)
	}
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
