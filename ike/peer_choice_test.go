package ike

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/selector"
)

// The standby takes over when the preferred peer fails, whatever the failure is, and loses no more
// than one check takes. When the preferred peer is back, it is active again, without a loss.
func TestStandbyTakesOver(t *testing.T) {
	for name, c := range map[string]struct {
		fail, mend func(g *testGroup)
		most       time.Duration // without answers
	}{
		"kill -9":        {(*testGroup).killPreferred, func(g *testGroup) { g.gateways[0].start() }, 2100 * time.Millisecond},
		"unplugged":      {(*testGroup).unplug, (*testGroup).repair, 2100 * time.Millisecond},
		"only ESP":       {func(g *testGroup) { g.drop(g.gateways[0], onlyESP) }, (*testGroup).repair, 2600 * time.Millisecond},
		"a Delete":       {func(g *testGroup) { g.down(g.gateways[0], "left", "") }, func(g *testGroup) { g.lift(g.gateways[0], "left", "", "") }, 100 * time.Millisecond},
		"taken down":     {func(g *testGroup) { g.down(g.left, "right", "") }, func(g *testGroup) { g.lift(g.left, "right", "", "") }, 100 * time.Millisecond},
		"its child only": {func(g *testGroup) { g.down(g.left, "right", "lan") }, func(g *testGroup) { g.lift(g.left, "right", "lan", "") }, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 2, nil)
			g.wantActive(g.gateways[0])
			g.wantFlow(10 * time.Second)
			g.quiet()
			g.events.add(g.now.Add(5*time.Second), func() { c.fail(g) })
			g.flow(20 * time.Second)
			if g.gap > c.most {
				g.fatalf("no answer for %v", g.gap)
			}
			g.wantActive(g.gateways[1])
			g.wantNotice(g.left, "switched")
			g.wantFlow(2 * time.Minute)
			g.wantActive(g.gateways[1])
			g.quiet()
			c.mend(g)
			g.flow(2 * time.Minute)
			g.drive(time.Second)
			if g.sent != g.answered || len(g.lost) > 0 {
				g.fatalf("on the way back %d of %d packets were not answered", g.sent-g.answered, g.sent)
			}
			g.wantActive(g.gateways[0])
		})
	}
}

// A peer that has failed must work for a while before it is active again. One that comes up for the
// first time is active at once.
func TestPreferredMustHold(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) { g.link = func(*testPacket) []time.Duration { return nil } })
	g.repair()
	g.unplug()
	g.waitFor(time.Minute, func() bool { return g.active() == g.gateways[1] })
	g.repair()
	g.waitFor(5*time.Minute, func() bool { return len(g.gateways[0].plane.sas) > 0 })
	g.drive(time.Second)
	g.wantActive(g.gateways[0])
	g.flow(5 * time.Second)
	for range 3 {
		g.unplug()
		g.flow(4 * time.Second)
		g.wantActive(g.gateways[1])
		g.repair()
		g.flow(9 * time.Second)
		g.wantActive(g.gateways[1])
		st, _ := g.left.e.StatusOf("right")
		if why := st.Children[0].Role.Why; !strings.Contains(why, "10s") && !strings.Contains(why, "no Child SA") {
			g.fatalf("the preferred one waits: %q", why)
		}
		g.flow(30 * time.Second)
		g.wantActive(g.gateways[0])
	}
}

// Without any peer that works nothing is sent, and the packets wait for the first that comes.
func TestNoStandbyWorks(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.wantFlow(5 * time.Second)
	for _, s := range g.gateways {
		s.kill()
	}
	g.flow(3 * time.Minute)
	if n := g.left.plane.senders(); n > 0 {
		g.fatalf("%d policies have an SA", n)
	}
	g.wantActive(g.gateways[0])
	g.gateways[2].start()
	g.waitFor(5*time.Minute, func() bool { g.flow(time.Second); return g.active() == g.gateways[2] })
	g.wantFlow(time.Minute)
	g.gateways[1].start()
	g.waitFor(5*time.Minute, func() bool { g.flow(time.Second); return g.active() == g.gateways[1] })
	g.wantFlow(time.Minute)
	g.gateways[0].start()
	g.waitFor(5*time.Minute, func() bool { g.flow(time.Second); return g.active() == g.gateways[0] })
	g.wantFlow(time.Minute)
}

// Those that are taken down do not count, and if all are, everything is dropped.
func TestAllAreTakenDown(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.down(g.left, "right", "")
	g.down(g.left, "spare2", "")
	g.quiet()
	g.flow(5 * time.Second)
	if g.answered > 0 || !g.left.plane.held[g.left.plane.matched(g.left.policy("lan"))] {
		g.fatalf("%d packets were answered", g.answered)
	}
	g.lift(g.left, "spare2", "", "")
	g.wantActive(g.gateways[1])
	g.wantFlow(5 * time.Second)
}

// A hub with two spokes for everything, which call it, over IPv6 as well.
func TestHubWithTwoDefaultSpokes(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		g := newGroup(t, 2, func(g *testGroup) {
			all := []selector.Selector{selector.All(false), selector.All(true)}
			for i, s := range g.gateways {
				hub, spoke := &g.left.peers[i], &s.peers[0]
				hub.Children[0].Remote, spoke.Children[0].Local = all, all
				net := append(hub.Children[0].Local, testNetworks("2001:db8:1::/64")...)
				hub.Children[0].Local, spoke.Children[0].Remote = net, net
				hub.Remote, spoke.Children[0].Start, hub.Children[0].Start = nil, StartBoot, StartTraffic
				if v6 {
					hub.Local, spoke.Local, spoke.Remote = g.left.addrs[1], s.addrs[1], []netip.Addr{g.left.addrs[1]}
				}
			}
		})
		g.wantActive(g.gateways[0])
		g.wantFlow(5 * time.Second)
		g.killPreferred()
		g.quiet()
		g.flow(10 * time.Second)
		if g.gap > 2100*time.Millisecond {
			g.fatalf("no answer for %v", g.gap)
		}
		g.wantActive(g.gateways[1])
		g.gateways[0].start()
		g.wantFlow(time.Minute)
		g.wantActive(g.gateways[0])
	}
}

// The far end may send on the SA of the standby: it is accepted, and changes nothing.
func TestFarEndSwitchesFirst(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(5 * time.Second)
	far := g.gateways[1]
	for range 100 {
		far.traffic("lan")
		g.flow(100 * time.Millisecond)
	}
	g.wantNoLoss()
	g.wantActive(g.gateways[0])
}

// What waits for traffic comes up in turn: the standby connects only when the preferred peer does
// not answer, and is left when that one is back.
func TestStandbyOnDemand(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		for i := range g.left.peers {
			g.left.peers[i].Children[0].Start = StartTraffic
		}
	})
	g.flow(10 * time.Second)
	g.wantActive(g.gateways[0])
	if n := len(g.gateways[1].plane.sas); n != 0 {
		g.fatalf("the standby has %d SAs", n)
	}
	g.unplug()
	g.quiet()
	g.flow(20 * time.Second)
	if g.gap > 4*time.Second {
		g.fatalf("no answer for %v", g.gap)
	}
	g.wantActive(g.gateways[1])
	g.repair()
	g.flow(2 * time.Minute)
	g.wantActive(g.gateways[0])

	g = newGroup(t, 2, func(g *testGroup) {
		for i := range g.left.peers {
			g.left.peers[i].Children[0].Start = StartTraffic
		}
	})
	g.unplug()
	took := g.waitFor(time.Minute, func() bool { g.flow(everyPacket); return g.answered > 0 })
	if took > 5*time.Second {
		g.fatalf("the first answer after %v", took)
	}
	g.wantActive(g.gateways[1])
}

// A preferred peer without an address, which has not called yet, is not waited for.
func TestStandbyOfACaller(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		for i := range g.left.peers {
			g.left.peers[i].Children[0].Start = StartTraffic
		}
		g.left.peers[0].Remote = nil
	})
	took := g.waitFor(time.Minute, func() bool { g.flow(everyPacket); return g.answered > 0 })
	if took > 1500*time.Millisecond {
		g.fatalf("the first answer after %v", took)
	}
	g.wantActive(g.gateways[1])
	g.gateways[0].connect("")
	g.flow(5 * time.Second)
	g.wantActive(g.gateways[0])
}

// Taken down once, a preferred peer that waits for traffic is left down while the standby works. It
// comes up by a command, by its own start, by a call, or when the standby fails.
func TestDownOnceLeavesTheStandby(t *testing.T) {
	for _, named := range []string{"", "lan"} {
		for name, c := range map[string]struct {
			start StartMode
			want  func(g *testGroup)
			most  time.Duration // until it is active
		}{
			"a command":       {StartTraffic, func(g *testGroup) { g.lift(g.left, "right", named, "") }, 20 * time.Second},
			"a call":          {StartTraffic, func(g *testGroup) { g.gateways[0].connect(""); g.drive(time.Second) }, 20 * time.Second},
			"another start":   {StartTraffic, func(g *testGroup) { g.setStart(0, StartBoot) }, 20 * time.Second},
			"start at boot":   {StartBoot, nil, 20 * time.Second},
			"a dead standby":  {StartTraffic, func(g *testGroup) { g.drop(g.gateways[1], anything) }, 5 * time.Second},
			"a standby's end": {StartTraffic, func(g *testGroup) { g.down(g.left, "spare2", "") }, time.Second},
		} {
			t.Run(name+" "+named, func(t *testing.T) {
				g := newGroup(t, 2, func(g *testGroup) { g.left.peers[0].Children[0].Start = c.start })
				g.wantFlow(5 * time.Second)
				g.wantActive(g.gateways[0])
				g.left.disconnect(named)
				g.drive(time.Second)
				g.wantActive(g.gateways[1])
				if c.want != nil {
					g.wantFlow(5 * time.Minute)
					g.wantActive(g.gateways[1])
					if n := len(g.gateways[0].plane.sas); n != 0 {
						g.fatalf("it has %d SAs", n)
					}
					c.want(g)
				}
				g.waitFor(c.most, func() bool { g.flow(time.Second); return g.active() == g.gateways[0] })
				g.wantFlow(5 * time.Second)
				if g.left.e.standby.of[g.left.policy("lan")].members[0].dismissed {
					g.fatalf("it is up, and the command still counts")
				}
			})
		}
	}
}

// Taken down once without a standby that works, it comes up with the next packet.
func TestDownOnceWithoutAStandby(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) {
		for i := range g.left.peers {
			g.left.peers[i].Children[0].Start = StartTraffic
		}
	})
	g.flow(time.Second)
	g.left.disconnect("")
	g.drive(time.Minute)
	if n := len(g.gateways[0].plane.sas) + len(g.gateways[1].plane.sas); n != 0 {
		g.fatalf("there are %d SAs", n)
	}
	g.flow(time.Second)
	g.wantActive(g.gateways[0])
	g.wantFlow(5 * time.Second)
}

// The command counts no more for a standby that has come up since, also while another one is
// active.
func TestDownOnceOfTheStandby(t *testing.T) {
	g := newGroup(t, 2, func(g *testGroup) { g.left.peers[1].Children[0].Start = StartTraffic })
	g.wantFlow(5 * time.Second)
	g.gateways[1].connect("")
	g.drive(time.Second)
	standby := g.left.e.standby.of[g.left.policy("lan")].members[1]
	g.left.handle(Disconnect{Peer: "spare2", Once: true, Ref: g.left.ref()})
	g.drive(time.Second)
	if !standby.dismissed {
		g.fatalf("it was not taken down")
	}
	g.gateways[1].connect("")
	g.drive(time.Second)
	if g.wantActive(g.gateways[0]); standby.dismissed {
		g.fatalf("it is up, and the command still counts")
	}
}
