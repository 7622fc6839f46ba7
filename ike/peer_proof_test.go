package ike

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// dropTo drops the ESP that is sent to a peer, dropFrom the ESP that it sends.
func (g *testGroup) dropTo(s *testSide) {
	g.drop(s, func(pk *testPacket) bool { return onlyESP(pk) && pk.from != s })
}

func (g *testGroup) dropFrom(s *testSide) {
	g.drop(s, func(pk *testPacket) bool { return onlyESP(pk) && pk.from == s })
}

// A peer whose ESP never passed, in either direction, is left, although no packet of it was ever
// answered that could be missed.
func TestPeerWithoutESPIsLeft(t *testing.T) {
	for name, cut := range map[string]func(g *testGroup, s *testSide){"to it": (*testGroup).dropTo, "from it": (*testGroup).dropFrom} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 2, func(g *testGroup) { cut(g, g.gateways[0]) })
			g.wantActive(g.gateways[1])
			g.wantFlow(20 * time.Minute)
			g.wantActive(g.gateways[1])
			g.repair()
			g.wantFlow(2*probeEvery + standbyHold + 2*time.Second)
			g.wantActive(g.gateways[0])
		})
	}
}

// A standby that is to take over, and whose ESP does not pass, is passed over at once.
func TestStandbyWithoutESPIsPassedOver(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.wantFlow(10 * time.Second)
	g.dropFrom(g.gateways[1])
	g.wantFlow(time.Minute)
	g.quiet()
	g.down(g.left, "right", "")
	g.flow(10 * time.Second)
	if g.gap > proofTime+500*time.Millisecond {
		g.fatalf("no answer for %v", g.gap)
	}
	g.wantActive(g.gateways[2])
}

// A preferred peer whose ESP is dropped again while it waits to be active gets no packets.
func TestPreferredFailsWhileItWaits(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(5 * time.Second)
	g.drop(g.gateways[0], onlyESP)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	g.repair()
	member := g.left.e.standby.of[g.left.policy("lan")].members[0]
	g.waitFor(3*probeEvery, func() bool { g.flow(everyPacket); return member.ill == "" })
	g.wantFlow(4 * time.Second)
	g.dropTo(g.gateways[0])
	g.wantFlow(time.Minute)
	g.wantActive(g.gateways[1])
}

// A host behind the active peer that answers nothing any more leaves the peer active.
func TestHostIsGone(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(10 * time.Second)
	g.oneWay = true
	g.flow(time.Minute)
	g.wantActive(g.gateways[0])
	if n := g.left.e.Counters()["ike_switched"]; n != 0 {
		g.fatalf("switched %d times", n)
	}
	g.oneWay = false
	g.wantFlow(10 * time.Second)
	g.drop(g.gateways[0], onlyESP)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
}

// A peer that goes while a host behind it does not answer is left, whichever probe it answered
// last.
func TestPeerGoesAfterItsHost(t *testing.T) {
	for last := range 3 * usualAnswers {
		g := newGroup(t, 2, nil)
		g.wantFlow(5 * time.Second)
		probes, link := 0, g.link
		g.link = func(pk *testPacket) []time.Duration {
			probes += btoi(pk.esp != nil && pk.esp.probe && pk.from == g.left)
			return link(pk)
		}
		g.oneWay = true
		for end := g.now.Add(20 * time.Second); probes <= last && g.now.Before(end); {
			g.flow(everyPacket)
		}
		g.drop(g.gateways[0], onlyESP)
		g.oneWay = false
		g.flow(5 * time.Second)
		if now := g.active(); now != g.gateways[1] {
			g.fatalf("after %d probes packets go through %s", last+1, now.name)
		}
	}
}

// A peer that is up and ill keeps no other one from coming up.
func TestIllPeerIsNotWaitedFor(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) { g.left.peers[1].Children[0].Start = StartTraffic })
	g.gateways[1].connect("")
	g.wantFlow(10 * time.Second)
	g.wantActive(g.gateways[0])
	g.drop(g.gateways[0], onlyESP)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	g.gateways[1].disconnect("")
	g.flow(10 * time.Second)
	g.wantActive(g.gateways[1])
	g.wantFlow(5 * time.Second)
}

// A proof costs no more than a few probes, and none while packets come.
func TestProofIsShort(t *testing.T) {
	g := newGroup(t, 2, nil)
	probes := 0
	link := g.link
	g.link = func(pk *testPacket) []time.Duration {
		probes += btoi(pk.esp != nil && pk.esp.probe)
		return link(pk)
	}
	g.wantFlow(10 * time.Minute)
	if probes != 0 {
		g.fatalf("%d probes while everything works", probes)
	}
	var id ipsec.ChildID
	for _, psa := range g.left.plane.sas {
		id = max(id, psa.sa.ID)
	}
	g.left.handle(Hint{ID: id})
	g.left.handle(Hint{ID: id})
	if g.drive(10 * time.Second); probes == 0 || probes > 2*usualAnswers {
		g.fatalf("%d probes after a hint", probes)
	}
}

// An answer to a probe counts on whichever SA it comes, such as that of a single worker.
func TestAnswerOnAnotherSA(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		for i, s := range append(g.gateways, g.left) {
			s.config.Resources = 2
			s.peers[0].PerResource = true
			g.left.peers[min(i, 1)].PerResource = true
		}
	})
	g.wantFlow(10 * time.Second)
	var id ipsec.ChildID
	for _, psa := range g.left.plane.ofPolicy(g.left.policy("lan")) {
		id = max(id, psa.sa.ID)
	}
	if n := len(g.left.plane.ofPolicy(g.left.policy("lan"))); n < 2 {
		g.fatalf("%d SAs", n)
	}
	for range 5 {
		g.left.handle(Hint{ID: id})
		g.wantFlow(5 * time.Second)
	}
	if g.wantActive(g.gateways[0]); g.left.e.Counters()["ike_switched"] != 0 {
		g.fatalf("switched")
	}
}
