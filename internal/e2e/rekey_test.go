//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// streams starts a stream of 1,000 packets/s each way. pace waits for the packets of another fifth
// of a second, so that the next event happens amid traffic and not all at once; wantNoneLost stops
// the streams.
func (n *network) streams(t *testing.T) (pace, wantNoneLost func()) {
	t.Helper()
	right, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 1000, 200)
	ok(t, err)
	left, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 1000, 200)
	ok(t, err)
	pace = func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		until := right.Sent.Load() + 200
		ok(t, netlab.Until(ctx, "more datagrams", func() bool { return right.Sent.Load() >= until }))
	}
	return pace, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for name, s := range map[string]*netlab.Stream{"left to right": right, "right to left": left} {
			ok(t, netlab.Until(ctx, "a thousand datagrams", func() bool { return s.Sent.Load() >= 1000 }))
			lost := s.Stop(3 * time.Second)
			t.Logf("%s: sent %d, lost %d, doubled %d, reordered %d", name, s.Sent.Load(), lost, s.Doubled.Load(), s.Reordered.Load())
			if lost != 0 || s.Doubled.Load() != 0 {
				t.Errorf("%s: %d of %d datagrams lost, %d doubled", name, lost, s.Sent.Load(), s.Doubled.Load())
			}
		}
	}
}

func TestRekeyUnderTraffic(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		top        topology
	}{
		{name: "protocol 50", keys: protocol50},
		{name: "UDP", keys: "encap = \"always\"\n"},
		{name: "NAT", top: topology{nat: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, tt.top)
			left, right := pair(t, n, "192.0.2.2", tt.keys)
			n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
			pace, wantNoneLost := n.streams(t)
			for i := range 12 {
				pace()
				before := left.child("right", "v4").SPIIn
				left.do("rekey", "right/v4")
				if after := left.child("right", "v4").SPIIn; after == before {
					t.Errorf("rekey %d by left left SPI %s in place", i, before)
				}
				pace()
				right.do("rekey", "left/v4")
				if i%3 == 0 {
					spi := left.peer("right").SPIi
					left.do("rekey", "right")
					pace()
					right.do("rekey", "left")
					if left.peer("right").SPIi == spi {
						t.Errorf("the IKE SA %s was not rekeyed", spi)
					}
				}
			}
			wantNoneLost()
			if c := left.child("right", "v4"); c.Rekeys < 24 || len(c.Drops) > 0 && (c.Drops["replay"] > 0 || c.Drops["icv"] > 0) {
				t.Errorf("after 24 rekeys status says %+v", c)
			}
		})
	}
}

// TestRekeyCollisions gives both sides' lifetimes the same end, so that their rekeys collide.
func TestRekeyCollisions(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	const short, ike = "  lifetime = { time = \"3s\" }", "ike_lifetime = \"7s\"\n"
	right.start(peerText("left", identities("right", "left")+ike, rightChildren(short)...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+ike, leftChildren(boot+"\n"+short)...))
	left.waitUp("right")
	_, wantNoneLost := n.streams(t)
	left.wait(60*time.Second, "six rekeys by lifetime", "right", func(p peerStatus) bool { return p.Children[0].Rekeys >= 6 && p.Children[1].Rekeys >= 6 })
	wantNoneLost()
	n.wantTraffic(t, 1<<18)
	_ = right
}

func TestRekeyByBytesAndPackets(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	const short = "  lifetime = { bytes = \"4MB\", packets = 20000 }"
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot+"\n"+short)...))
	left.waitUp("right")
	right.waitUp("left")
	n.wantTrafficOf(t, 16<<20, leftLAN4, rightLAN4)
	if c := left.child("right", "v4"); c.Rekeys < 2 {
		t.Errorf("%d rekeys after 32 MB with a limit of 4 MB", c.Rekeys)
	}
}

func TestLossyReorderingLink(t *testing.T) {
	n := build(t, topology{wire: true})
	n.wire.Impair(netlab.Impairment{Drop: 0.05, Double: 0.05, Delay: 0.2, MaxDelay: 20 * time.Millisecond})
	left, right := pair(t, n, "192.0.2.2", "")
	for range 5 {
		left.do("rekey", "right/v4")
		right.do("rekey", "left")
	}
	n.wire.Impair(netlab.Impairment{Drop: 0.005, Double: 0.01, Delay: 0.1, MaxDelay: 3 * time.Millisecond})
	n.wantTraffic(t, 256<<10)
	for _, c := range left.peer("right").Children {
		if c.Drops["icv"] != 0 {
			t.Errorf("child %s: %d packets failed authentication", c.Name, c.Drops["icv"])
		}
	}
	if n.wire.Dropped.Load() == 0 || n.wire.Delayed.Load() == 0 {
		t.Error("the wire impaired nothing")
	}
}

func TestNATForgetsItsMapping(t *testing.T) {
	n := build(t, topology{nat: true})
	left, right := pair(t, n, "192.0.2.2", "")
	n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
	for i := range 3 {
		before := right.peer("left").Remote
		ok(t, n.nat.ForgetMappings())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := n.left.PingUntil(ctx, leftLAN4, rightLAN4, time.Second)
		ok(t, err)
		_, err = n.right.PingUntil(ctx, rightLAN4, leftLAN4, time.Second)
		cancel()
		ok(t, err)
		right.wait(5*time.Second, "right to follow the new mapping", "left", func(p peerStatus) bool { return p.Remote != before })
		left.do("rekey", "right/v4")
		right.do("rekey", "left/v4")
		t.Logf("mapping %d: %s -> %s", i, before, right.peer("left").Remote)
	}
}
