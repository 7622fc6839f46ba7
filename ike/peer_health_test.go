package ike

import (
	"strings"
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

// ESP to the preferred peer is dropped while its IKE answers. Where the peer answers no probes, the
// way is tried after a while, at growing intervals and for a short time.
func TestTrialOfThePreferred(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) { g.left.noProbes = true })
	g.wantFlow(5 * time.Second)
	g.left.main().net.follows = false // it is not a culvert
	g.drop(g.gateways[0], onlyESP)
	g.flow(20 * time.Second)
	g.wantActive(g.gateways[1])
	g.wantFlow(4 * time.Minute)
	g.quiet()
	g.flow(20 * time.Minute)
	trials := 0
	for _, n := range g.left.notices {
		if n.Event == "switched" && strings.Contains(n.Text, "it is preferred") {
			trials++
		}
	}
	if trials != 2 || g.gap > 4*time.Second {
		g.fatalf("%d trials, and no answer for %v", trials, g.gap)
	}
	g.wantActive(g.gateways[1])
	g.repair()
	g.wantFlow(30 * time.Minute)
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
	g.wantFlow(probeEvery + standbyHold - time.Second)
	g.wantActive(g.gateways[1])
	g.wantFlow(probeEvery + 2*time.Second)
	g.wantActive(g.gateways[0])
}

// A preferred peer that comes back with its IKE while its ESP is dropped takes packets for a trial
// only, as those of the standby are answered.
func TestPreferredWithoutESP(t *testing.T) {
	for _, culvert := range []bool{true, false} {
		g := newGroup(t, 2, func(g *testGroup) { g.left.noProbes = !culvert })
		g.wantFlow(5 * time.Second)
		g.killPreferred()
		g.flow(20 * time.Second)
		g.wantActive(g.gateways[1])
		g.drop(g.gateways[0], onlyESP)
		g.gateways[0].start()
		g.quiet()
		g.flow(20 * time.Second)
		if s := g.left.main(); !culvert && s != nil {
			s.net.follows = false
		}
		g.flow(20 * time.Second)
		g.wantActive(g.gateways[1])
		if g.gap > 5*time.Second {
			g.fatalf("no answer for %v", g.gap)
		}
		g.wantFlow(4 * time.Minute)
		g.repair()
		g.flow(6 * time.Minute)
		g.wantActive(g.gateways[0])
	}
}
