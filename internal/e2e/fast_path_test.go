//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"culvert/dataplane/netio/clsact"
	"culvert/internal/netlab"
)

// fastPair is pair with ESP as IP protocol 50 past the IP stack.
func fastPair(t *testing.T, n *network, remote string) (left, right *gateway) {
	t.Helper()
	left, right = newGateway(t, n.left), newGateway(t, n.right)
	left.daemon, right.daemon = "fast_path = \"auto\"", "fast_path = \"auto\""
	right.start(peerText("left", identities("right", "left")+protocol50, rightChildren("")...))
	left.start(peerText("right", "remote = \""+remote+"\"\n"+identities("left", "right")+protocol50, leftChildren(boot)...))
	left.waitUp("right")
	right.waitUp("left")
	return left, right
}

// waitFastPath waits, at most two seconds, until both directions are in states that begin with some
// words.
func (g *gateway) waitFastPath(received, sent string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Second)
	defer cancel()
	var s status
	if err := netlab.Until(ctx, "the fast path", func() bool {
		s = g.status()
		return strings.HasPrefix(s.FastPath, received) && strings.HasPrefix(s.FastSent, sent)
	}); err != nil {
		g.t.Fatalf("%s: received %q, sent %q, want %q, %q", g.host.Name, s.FastPath, s.FastSent, received, sent)
	}
}

// TestFastPath: with the guard, over both families, everything arrives, also over rekeyings, and
// most of it past the IP stack. A daemon that is killed leaves nothing in the way of the next one.
func TestFastPath(t *testing.T) {
	for name, remote := range map[string]string{"IPv4": "192.0.2.2", "IPv6": "2001:db8::2"} {
		t.Run(name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := fastPair(t, n, remote)
			right.needPrograms()
			n.wantTraffic(t, 1<<20)
			for _, g := range []*gateway{left, right} {
				g.waitFastPath("on: lan,wan", "on: wan")
			}
			pace, wantNoneLost := n.streams(t)
			for range 4 {
				pace()
				left.do("rekey", "right/v4")
				pace()
				right.do("rekey", "left")
			}
			wantNoneLost()
			for _, g := range []*gateway{left, right} {
				c, child := g.status().Counters, g.status().Peers[0].Children[0]
				if c["net_ring"] < child.PacketsIn/2 || c["net_direct"] < child.PacketsOut/2 || c["net_ring_full"] > 0 {
					t.Errorf("%s: of %d and %d packets there came %d by the ring and went %d past the IP stack, %d were lost",
						g.host.Name, child.PacketsIn, child.PacketsOut, c["net_ring"], c["net_direct"], c["net_ring_full"])
				}
				if child.Drops["replay"] > 0 || child.Drops["icv"] > 0 {
					t.Errorf("%s: drops %v", g.host.Name, child.Drops)
				}
			}
			right.proc.Kill()
			<-right.proc.Done()
			right.run()
			n.wantTraffic(t, 1<<18) // its packets tell left of the restart (RFC 6290)
			right.waitFastPath("on: lan,wan", "on: wan")
		})
	}
}

// noPrograms begins what status says of a kernel that has no programs at devices.
const noPrograms = "socket: this kernel has no programs at devices"

// needPrograms skips the test where the kernel has no programs at devices. The gateway's peer is
// up.
func (g *gateway) needPrograms() {
	g.t.Helper()
	if state := g.settledFastPath(); strings.HasPrefix(state.FastPath, noPrograms) {
		g.t.Skip("received by the ", state.FastPath)
	}
}

// settledFastPath waits until the gateway has tried to receive past the IP stack.
func (g *gateway) settledFastPath() (s status) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Second)
	defer cancel()
	ok(g.t, netlab.Until(ctx, "the fast path", func() bool { s = g.status(); return s.FastPath != "idle" }))
	return s
}

// TestFastPathOfAnOldKernel: where the kernel has no programs at devices, both directions go by the
// raw socket over both families, status says so and the log once; everything arrives, also over
// rekeyings, and a daemon that is killed leaves nothing.
func TestFastPathOfAnOldKernel(t *testing.T) {
	for name, remote := range map[string]string{"IPv4": "192.0.2.2", "IPv6": "2001:db8::2"} {
		t.Run(name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := fastPair(t, n, remote)
			if s := right.settledFastPath(); !strings.HasPrefix(s.FastPath, noPrograms) {
				t.Skip("this kernel has programs at devices: ", s.FastPath)
			}
			n.wantTraffic(t, 1<<18)
			n.quiet(t)(func() {
				left.do("rekey", "right/v4")
				right.do("rekey", "left")
			})
			for _, g := range []*gateway{left, right} {
				g.waitFastPath(noPrograms, noPrograms)
				if c := g.status().Counters; c["net_ring"] != 0 || c["net_direct"] != 0 {
					t.Errorf("%s: %d packets came past the IP stack, and %d went", g.host.Name, c["net_ring"], c["net_direct"])
				}
				if told := strings.Count(g.proc.Output(), "by the raw socket: this kernel has no programs at devices"); told == 0 {
					t.Errorf("%s does not log why: %s", g.host.Name, g.proc.Output())
				}
			}
			right.proc.Kill()
			<-right.proc.Done()
			right.wantPlaces(0)
			right.run()
			n.wantTraffic(t, 1<<18) // its packets tell left of the restart (RFC 6290)
		})
	}
}

// wantPlaces wants the number of the host's devices that have a place for filters of tc.
func (g *gateway) wantPlaces(want int) {
	g.t.Helper()
	ok(g.t, g.host.Do(func() error {
		places, err := clsact.Places()
		if len(places) != want {
			g.t.Errorf("%d devices have a place for filters of tc, want %d", len(places), want)
		}
		return err
	}))
}

// TestFirewallOverFastPath: a rule that comes later has the effect that it has without the fast
// path, within two seconds, and one that only counts loses nothing.
func TestFirewallOverFastPath(t *testing.T) {
	n := build(t, topology{})
	_, right := fastPair(t, n, "192.0.2.2")
	right.needPrograms()
	n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
	right.waitFastPath("on: lan,wan", "on: wan")
	pace, wantNoneLost := n.streams(t)
	for _, hook := range []string{"input", "output"} {
		pace()
		ok(t, n.right.NFT("add table inet t; add chain inet t a { type filter hook "+hook+" priority 0; }; add rule inet t a meta l4proto esp counter"))
		if hook == "input" {
			right.waitFastPath("socket: this host's firewall may concern ESP: table t, chain a", "socket: this host's firewall")
		} else {
			right.waitFastPath("on: lan,wan", "socket: this host's firewall may concern ESP: table t, chain a")
		}
		pace()
		ok(t, n.right.NFT("delete table inet t"))
		right.waitFastPath("on: lan,wan", "on: wan")
	}
	wantNoneLost()
	for _, tt := range []struct {
		hook     string
		from, to *netlab.Host
	}{{"input", n.left, n.right}, {"output", n.right, n.left}} {
		from, to := leftLAN4, rightLAN4
		if tt.from == n.right {
			from, to = to, from
		}
		s, err := netlab.StartStream(tt.from, from, tt.to, to, 1000, 200)
		ok(t, err)
		wantFlow(t, "before the rule", s)
		ok(t, n.right.NFT("add table inet t; add chain inet t a { type filter hook "+tt.hook+" priority 0; }; add rule inet t a meta l4proto esp drop"))
		wantSilence(t, tt.hook, s)
		ok(t, n.right.NFT("delete table inet t"))
		wantFlow(t, "after the rule", s)
		right.waitFastPath("on: lan,wan", "on: wan")
		s.Stop(time.Second)
	}
}

// wantSilence waits, at most two seconds, until no datagram has arrived for a fifth of one while
// hundreds were sent.
func wantSilence(t *testing.T, what string, s *netlab.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	received, sent := s.Received.Load(), s.Sent.Load()
	if err := netlab.Until(ctx, "silence", func() bool {
		if now := s.Received.Load(); now != received {
			received, sent = now, s.Sent.Load()
		}
		return s.Sent.Load() > sent+200
	}); err != nil {
		t.Errorf("%s: a rule that drops ESP: %v", what, err)
	}
}
