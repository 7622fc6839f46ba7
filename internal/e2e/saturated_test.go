//go:build linux

package e2e

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// wantRekeys has each side rekey the child and the IKE SA, each within the limit.
func wantRekeys(t *testing.T, left, right *gateway, limit time.Duration) {
	t.Helper()
	for _, c := range []struct {
		g          *gateway
		peer, what string
	}{{left, "right", "right/v4"}, {right, "left", "left/v4"}, {left, "right", "right"}, {right, "left", "left"}} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		before := c.g.peer(c.peer)
		_, err := c.g.try(ctx, "rekey", c.what)
		cancel()
		ok(t, err)
		after := c.g.peer(c.peer)
		if after.SPIi == before.SPIi && after.Children[0].SPIIn == before.Children[0].SPIIn {
			t.Errorf("%s: rekey %s left everything in place", c.g.host.Name, c.what)
		}
	}
}

// wantLiveness waits for several successful liveness checks of left: right sends nothing else.
func wantLiveness(t *testing.T, left *gateway, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	answers := func() int {
		return strings.Count(left.proc.Output(), "msg=\"INFORMATIONAL response\" event=ike-received")
	}
	before := answers()
	ok(t, netlab.Until(ctx, "three answers to liveness checks", func() bool { return answers() >= before+3 }))
}

// wantNeverDown checks that no SA was lost: every ended one was replaced.
func wantNeverDown(t *testing.T, gs ...*gateway) {
	t.Helper()
	for _, g := range gs {
		for line := range strings.Lines(g.proc.Output()) {
			if strings.Contains(line, "-down") && !strings.Contains(line, "replaced") && !strings.Contains(line, "rekey") {
				t.Errorf("%s: %s", g.host.Name, line)
			}
		}
	}
}

// cross floods the outer link from right to left with datagrams outside of the tunnel.
func (n *network) cross(t *testing.T, rate int) (stop func()) {
	t.Helper()
	s, err := netlab.StartStream(n.right, netip.MustParseAddr("192.0.2.2"), n.left, netip.MustParseAddr("192.0.2.1"), rate, 1200)
	ok(t, err)
	return func() { s.Stop(0) }
}

// TestSaturatedLink floods a tunnel in both directions with three times the link's rate. IKE gets
// through: every rekey succeeds at the first try, and the liveness checks do. Drops are counted,
// and after the flood the tunnel works as before.
func TestSaturatedLink(t *testing.T) {
	const (
		rate  = 10e6 // bits per second
		queue = 64 << 10
		flood = 3000 // datagrams of 1200 octets per second: three times the rate
	)
	for _, tt := range []struct{ name, keys string }{{"protocol 50", protocol50}, {"UDP", "encap = \"always\"\n"}} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := pair(t, n, "192.0.2.2", tt.keys+"dpd = \"1s\"\n")
			ok(t, n.left.Shape("wan", rate, queue, true), n.right.Shape("wan", rate, queue, true))
			toRight, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, flood, 1200)
			ok(t, err)
			toLeft, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, flood, 1200)
			ok(t, err)
			dropped := func(g *gateway) uint64 { return g.status().Counters["net_send_no_buffers"] }
			for _, g := range []*gateway{left, right} {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				ok(t, netlab.Until(ctx, "drops at "+g.host.Name, func() bool { return dropped(g) > 500 }))
				cancel()
			}
			for range 3 {
				wantRekeys(t, left, right, 900*time.Millisecond) // less than the time of the first retransmission
			}
			toLeft.Stop(0)
			stop := n.cross(t, flood)
			wantLiveness(t, left, 10*time.Second)
			stop()
			toRight.Stop(0)
			n.wantPing(t, 2*time.Second)
			wantNeverDown(t, left, right)
			for _, g := range []*gateway{left, right} {
				if c := g.status().Counters; c["ike_retransmitted"] > 0 {
					t.Errorf("%s: %d IKE messages were sent again", g.host.Name, c["ike_retransmitted"])
				}
			}
			left.stopsAtOnce()
			right.stopsAtOnce()
		})
	}
}

// TestSaturatedProcessor floods a tunnel beyond the daemons' capacity: drops of the device's queue
// are counted, and IKE gets through.
func TestSaturatedProcessor(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "encap = \"always\"\ndpd = \"1s\"\n")
	n.load(t)
	for _, blast := range []struct {
		from, to *netlab.Host
		src, dst netip.Addr
	}{{n.left, n.right, leftLAN4, rightLAN4}, {n.right, n.left, rightLAN4, leftLAN4}} {
		s, err := netlab.StartStream(blast.from, blast.src, blast.to, blast.dst, 1_000_000, 64)
		ok(t, err)
		defer s.Stop(0)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	drops := func(g *gateway) uint64 {
		c := g.status().Counters
		return c["tun_kernel_drops"] + c["net_kernel_drops"]
	}
	for _, g := range []*gateway{left, right} {
		ok(t, netlab.Until(ctx, "drops at "+g.host.Name, func() bool { return drops(g) > 1000 }))
	}
	for range 2 {
		wantRekeys(t, left, right, 5*time.Second)
	}
	wantNeverDown(t, left, right)
}
