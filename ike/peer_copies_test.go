package ike

import (
	"testing"
	"time"
)

// strangersWithoutESP is a group of n peers that answer no probes, of which the preferred one's ESP
// is dropped while its IKE answers, so that the next one is active.
func strangersWithoutESP(t *testing.T, n int) *testGroup {
	g := newGroup(t, n, nil)
	g.strangers()
	g.wantFlow(5 * time.Second)
	g.drop(g.gateways[0], onlyESP)
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[1])
	return g
}

// wantStandby sends for a time through the next peer, and checks that every packet was answered,
// how often the preferred one was tried, and how many copies each trial cost.
func (g *testGroup) wantStandby(d time.Duration, least, most int) {
	g.t.Helper()
	plane := g.left.plane
	trials, copied := plane.trials, plane.copied
	g.wantFlow(d)
	trials, copied = plane.trials-trials, plane.copied-copied
	if trials < least || trials > most || copied < trials || copied > trials*trialCopies {
		g.fatalf("in %v there were %d trials with %d copies", d, trials, copied)
	}
	g.wantActive(g.gateways[1])
}

// Where the peer answers no probes, the way is tried after a while, at growing intervals, and the
// trials lose nothing, whether they succeed or not.
func TestTrialOfThePreferred(t *testing.T) {
	g := strangersWithoutESP(t, 2)
	g.wantFlow(20 * time.Second)
	g.wantStandby(3*time.Minute, 2, 3)
	g.wantStandby(20*time.Minute, 11, 14)
	if g.copies != 0 {
		g.fatalf("%d copies came", g.copies)
	}
	g.repair()
	g.wantFlow(lastTrial + standbyHold + 2*probeEvery)
	g.wantActive(g.gateways[0])
	if g.copies == 0 || g.copies > 2*trialCopies {
		g.fatalf("%d copies came", g.copies)
	}
	before := g.left.plane.copied
	if g.wantFlow(10 * time.Minute); g.left.plane.copied != before {
		g.fatalf("%d copies while all is well", g.left.plane.copied-before)
	}
}

// A trial ends also if few packets flow, and waits for them if none do.
func TestTrialOfFewPackets(t *testing.T) {
	g := strangersWithoutESP(t, 2)
	few := func(n int) {
		g.t.Helper()
		g.quiet()
		for range n {
			g.left.plane.send(g.left.plane.matched(g.left.policy("lan")), 1)
			g.sent++
			g.drive(time.Second)
		}
		if g.sent != g.answered {
			g.fatalf("%d of %d packets were not answered", g.sent-g.answered, g.sent)
		}
	}
	plane := g.left.plane
	trials, copied := plane.trials, plane.copied
	few(300)
	if trials, copied = plane.trials-trials, plane.copied-copied; trials < 3 || trials > 5 || copied < trials || copied > 4*trials {
		g.fatalf("%d trials with %d copies", trials, copied)
	}
	g.repair()
	g.drive(10 * time.Minute)
	g.wantActive(g.gateways[1])
	few(int(standbyHold/time.Second) + 5)
	g.wantActive(g.gateways[0])
}

// One whose ESP is dropped again while it waits to be active gets no packets.
func TestTriedPeerFailsWhileItWaits(t *testing.T) {
	g := strangersWithoutESP(t, 2)
	g.repair()
	member := g.left.e.standby.of[g.left.policy("lan")].members[0]
	g.waitFor(2*lastTrial, func() bool { g.flow(everyPacket); return member.ill == "" })
	g.wantFlow(4 * time.Second)
	g.dropTo(g.gateways[0])
	g.wantStandby(time.Minute, 1, 2)
	g.repair()
	g.wantFlow(2*lastTrial + standbyHold)
	g.wantActive(g.gateways[0])
}

// When another peer becomes active, its packets are copied.
func TestTrialBesideAnotherOne(t *testing.T) {
	g := strangersWithoutESP(t, 3)
	g.drive(firstTrial + probeEvery) // a trial waits for packets
	if n := g.left.plane.copied; n != 0 {
		g.fatalf("%d copies of no packet", n)
	}
	g.down(g.left, "spare2", "")
	g.wantFlow(lastTrial + firstTrial)
	g.wantActive(g.gateways[2])
	if g.left.plane.copied == 0 {
		g.fatalf("the preferred one was not tried")
	}
	g.repair()
	g.wantFlow(lastTrial + standbyHold + 2*probeEvery)
	g.wantActive(g.gateways[0])
}

// Packets that nobody answers prove nothing: the preferred one is active again without, also if
// some were answered before.
func TestWayBackOfOneWayTraffic(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.strangers()
	g.wantFlow(5 * time.Second)
	g.down(g.left, "right", "")
	clear(g.looks)
	g.flow(300 * time.Millisecond) // so short that answers are not usual
	g.drive(time.Second)
	g.wantActive(g.gateways[1])
	g.oneWay = true
	g.lift(g.left, "right", "", "")
	start := g.now
	for g.active() != g.gateways[0] && g.now.Sub(start) < time.Minute {
		g.flow(everyPacket)
	}
	took := g.now.Sub(start)
	if n := g.left.plane.copied; took > standbyHold+2*copyAnswer || n == 0 || n > trialCopies {
		g.fatalf("active after %v and %d copies", took, n)
	}
	g.flow(time.Minute)
	g.wantActive(g.gateways[0])
}

// Without packets, a preferred peer that comes up for the first time is not kept waiting, and left
// when the first packets are not answered. With packets it is tried before.
func TestFirstTimeOfThePreferred(t *testing.T) {
	for _, passes := range []bool{true, false} {
		for _, flows := range []bool{true, false} {
			g := newGroup(t, 2, func(g *testGroup) { g.left.peers[0].Children[0].Start = StartNever })
			g.strangers()
			g.wantFlow(5 * time.Second)
			g.wantActive(g.gateways[1])
			if !passes {
				g.drop(g.gateways[0], onlyESP)
			}
			g.left.connect("lan")
			if flows {
				g.wantFlow(10 * time.Second)
			} else {
				g.drive(2 * copyAnswer)
				g.wantActive(g.gateways[0])
				g.flow(10 * time.Second)
			}
			if passes {
				g.wantActive(g.gateways[0])
			} else {
				g.wantActive(g.gateways[1])
			}
			if g.gap > trialTime+time.Second {
				g.fatalf("no answer for %v", g.gap)
			}
		}
	}
}
