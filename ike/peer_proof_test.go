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

// A preferred peer whose ESP is dropped again while it waits to be active gets no packets, also
// where it sends some.
func TestPreferredFailsWhileItWaits(t *testing.T) {
	for _, unasked := range []bool{false, true} {
		preferredFailsWhileItWaits(t, unasked)
	}
}

func preferredFailsWhileItWaits(t *testing.T, unasked bool) {
	g := newGroup(t, 2, func(g *testGroup) { g.unasked = unasked })
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

// While no peer's ESP passes, packets wait for the first whose does again.
func TestFirstThatWorksAgain(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(10 * time.Second)
	g.drop(g.gateways[0], onlyESP)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	g.drop(g.gateways[1], onlyESP)
	g.flow(20 * time.Second)
	g.repair()
	g.drop(g.gateways[1], onlyESP)
	g.flow(2 * hurriedProbe)
	g.wantActive(g.gateways[0])
	g.wantFlow(time.Minute)
	g.wantActive(g.gateways[0])
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

// What a peer sends unasked hides nothing: where ESP passes in one direction alone, or in neither,
// the peer is left, not taken back before it passes again, and then without a loss. The peer calls
// or is called, and its probes are the only thing that it can do, or are not.
func TestUnaskedPacketsHideNothing(t *testing.T) {
	cuts := map[string]func(g *testGroup, s *testSide){
		"to it": (*testGroup).dropTo, "from it": (*testGroup).dropFrom,
		"both ways": func(g *testGroup, s *testSide) { g.drop(s, onlyESP) },
		"IKE and ESP to it": func(g *testGroup, s *testSide) {
			g.drop(s, func(pk *testPacket) bool { return pk.from != s })
		},
	}
	edits := map[string]func(g *testGroup){
		"it is called": func(g *testGroup) {},
		"it calls": func(g *testGroup) {
			g.left.peers[0].Remote, g.left.peers[0].Children[0].Start = nil, StartTraffic
			g.gateways[0].peers[0].Children[0].Start = StartBoot
		},
		"ESP has no other way": func(g *testGroup) {
			for i, s := range g.gateways {
				g.left.peers[i].Encap, s.peers[0].Encap = EncapNever, EncapNever
			}
		},
	}
	for cutName, cut := range cuts {
		for editName, edit := range edits {
			t.Run(cutName+", "+editName, func(t *testing.T) {
				g := newGroup(t, 2, func(g *testGroup) { g.unasked = true; edit(g) })
				g.flow(20 * time.Second)
				g.wantFlow(10 * time.Second)
				g.wantActive(g.gateways[0])
				before := g.left.e.Counters()["ike_switched"]
				cut(g, g.gateways[0])
				g.quiet()
				g.flow(10 * time.Second)
				g.wantActive(g.gateways[1])
				g.wantGap(4500 * time.Millisecond)
				g.quiet()
				for range 300 {
					g.flow(time.Second)
					if m := g.left.e.standby.of[g.left.policy("lan")].members[0]; m.ill == "" {
						g.fatalf("it is taken for well")
					}
				}
				g.drive(time.Second)
				g.wantActive(g.gateways[1])
				if n := g.left.e.Counters()["ike_switched"] - before; n != 1 || g.sent != g.answered {
					g.fatalf("switched %d times, %d of %d packets were answered", n, g.answered, g.sent)
				}
				g.repair()
				g.flow(3 * time.Minute)
				g.wantActive(g.gateways[0])
				if g.sent != g.answered {
					g.fatalf("%d of %d packets were answered on the way back", g.answered, g.sent)
				}
			})
		}
	}
}

// flowUntil sends packets until something is so.
func (g *testGroup) flowUntil(met func() bool) {
	g.t.Helper()
	for start := g.now; !met(); g.flow(everyPacket) {
		if g.now.Sub(start) > 10*time.Second {
			g.fatalf("it does not come to that")
		}
	}
}

// wantLeft checks that the active peer, to which packets have not passed since a time, is left for
// another one soon enough.
func (g *testGroup) wantLeft(next *testSide, cut time.Time) {
	g.t.Helper()
	g.flowUntil(func() bool { return g.active() == next })
	if took := g.now.Sub(cut); took > 4500*time.Millisecond {
		g.fatalf("it was left after %v", took)
	}
}

// A peer that has come up and is active now, and to which packets do not pass any more, is left in
// time whenever that begins, while it sends: it does not take packets for usual at once.
func TestUnaskedPacketsOfANewActivePeer(t *testing.T) {
	for after := time.Duration(0); after < 4*time.Second; after += 150 * time.Millisecond {
		g := newGroup(t, 2, func(g *testGroup) {
			g.unasked = true
			g.left.peers[0].Remote, g.left.peers[0].Children[0].Start = nil, StartTraffic
		})
		right := g.gateways[0]
		g.flow(5*time.Second + after%planeLookEvery)
		right.connect("")
		g.flowUntil(func() bool { return g.active() == right })
		g.flow(after)
		g.dropTo(right)
		g.wantLeft(g.gateways[1], g.now)
	}
}

// A new IKE SA of a peer at which packets do not arrive gives it no more time to show that they do.
func TestNewIKESADuringAProof(t *testing.T) {
	newIKESAWhilePacketsAreLost(t, func(m *standbyMember) bool { return !m.data.proof.since.IsZero() })
}

// A peer that is restarted while packets to it are dropped takes none for usual then, and has to
// show that they arrive.
func TestNewIKESAIsProven(t *testing.T) {
	newIKESAWhilePacketsAreLost(t, func(*standbyMember) bool { return true })
}

// newIKESAWhilePacketsAreLost has the active peer restart, once something is so, while packets to
// it are dropped.
func newIKESAWhilePacketsAreLost(t *testing.T, then func(m *standbyMember) bool) {
	g := newGroup(t, 2, func(g *testGroup) {
		g.unasked = true
		g.left.peers[0].Remote, g.left.peers[0].Children[0].Start = nil, StartTraffic
		g.gateways[0].peers[0].Children[0].Start = StartBoot
	})
	right := g.gateways[0]
	g.flow(20 * time.Second)
	g.wantActive(right)
	old, cut := g.left.main(), g.now
	g.dropTo(right)
	member := g.left.e.standby.of[g.left.policy("lan")].members[0]
	g.flowUntil(func() bool { return then(member) })
	right.kill()
	right.start()
	g.flow(200 * time.Millisecond)
	if g.left.main() == old {
		g.fatalf("there is no new IKE SA")
	}
	g.wantLeft(g.gateways[1], cut)
}

// The probes of a peer that hears nothing do not look like answers.
func TestProbesOfThePeerAreNoAnswers(t *testing.T) {
	g := newGroup(t, 2, nil)
	right := g.gateways[0]
	g.wantFlow(10 * time.Second)
	g.dropTo(right)
	g.quiet()
	for range 10 {
		right.plane.probe(right.plane.list[0].sa.ID)
		g.flow(500 * time.Millisecond)
	}
	g.wantActive(g.gateways[1])
	g.wantGap(3 * time.Second)
}

// A peer to which packets are only sent is asked whether they arrive: it is left when they do not,
// and stays active otherwise, also while other packets come the opposite way. That they are sent
// and nothing comes is enough, also where nothing ever came.
func TestOneWayTrafficIsAskedFor(t *testing.T) {
	for _, unasked := range []bool{false, true} {
		g := newGroup(t, 2, func(g *testGroup) { g.oneWay, g.unasked = true, unasked })
		g.flow(10 * time.Minute)
		g.wantActive(g.gateways[0])
		if n := g.left.e.Counters()["ike_switched"]; n != 0 {
			g.fatalf("switched %d times", n)
		}
		g.dropTo(g.gateways[0])
		start := g.now
		for g.active() == g.gateways[0] && g.now.Sub(start) < time.Minute {
			g.flow(everyPacket)
		}
		if took, most := g.now.Sub(start), planeUnheardLooks*planeLookEvery+4*time.Second; took > most {
			g.fatalf("switched after %v", took)
		}
		g.wantActive(g.gateways[1])
	}
	g := newGroup(t, 2, nil)
	g.dropTo(g.gateways[0])
	g.left.handle(Unheard{ID: g.left.plane.list[0].sa.ID})
	g.drive(2*proofTime + time.Second)
	g.wantActive(g.gateways[1])
}

// A proof leaves time for an answer over a long way, and more while the peer sends something.
func TestProofOverALongWay(t *testing.T) {
	for _, c := range []struct {
		way     time.Duration
		unasked bool
	}{{400 * time.Millisecond, false}, {700 * time.Millisecond, true}} {
		g := newGroup(t, 2, func(g *testGroup) { g.unasked = c.unasked })
		g.flow(10 * time.Second)
		g.link = steadyLink(c.way)
		member := g.left.e.standby.of[g.left.policy("lan")].members[0]
		for range 100 {
			g.left.handle(Probed{ID: member.pol.Sender().SA.ID})
			if g.flow(time.Second); member.ill != "" {
				g.fatalf("it is taken for ill: %s", member.ill)
			}
		}
	}
}

// What a standby sends unasked does not show that packets would arrive there.
func TestUnaskedPacketsProveNothing(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) { g.unasked = true })
	g.wantFlow(5 * time.Second)
	list := g.left.e.standby.of[g.left.policy("lan")].members
	if list[1].proven(g.now, list[0]) {
		g.fatalf("it is proven that packets arrive at the standby")
	}
}

// Two sides that both ask when the other one does come to an end, also over a long way.
func TestProbesHaveNoEcho(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		for _, s := range g.gateways {
			s.peers[0].Priority = 1
		}
	})
	probes, link := 0, steadyLink(400*time.Millisecond)
	g.link = func(pk *testPacket) []time.Duration {
		probes += btoi(pk.esp != nil && pk.esp.probe)
		return link(pk)
	}
	g.drive(time.Minute)
	probes = 0
	g.left.plane.probe(g.left.plane.list[0].sa.ID)
	g.drive(10 * time.Minute)
	if probes < 3 || probes > 16 {
		g.fatalf("%d probes", probes)
	}
}
