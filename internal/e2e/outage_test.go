//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// wantPing waits until a ping passes in both directions.
func (n *network) wantPing(t *testing.T, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := n.left.PingUntil(ctx, leftLAN4, rightLAN4, 200*time.Millisecond)
	ok(t, err)
	_, err = n.right.PingUntil(ctx, rightLAN4, leftLAN4, 200*time.Millisecond)
	ok(t, err)
}

// TestLinkDownAndUp takes the outer link, and then the TUN device, down and up under traffic:
// neither ends the daemon, the tunnel stays up, and traffic goes on.
func TestLinkDownAndUp(t *testing.T) {
	for _, keys := range []string{protocol50, "encap = \"always\"\n"} {
		t.Run("keys "+keys, func(t *testing.T) {
			n := build(t, topology{})
			left, right := pair(t, n, "192.0.2.2", keys)
			n.wantPing(t, 10*time.Second)
			spi := left.peer("right").SPIi
			stream, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 500, 200)
			ok(t, err)
			sent := func() uint64 { return left.child("right", "v4").PacketsOut }
			ok(t, n.left.SetLink("wan", false))
			before := sent()
			left.wait(10*time.Second, "sends into the outage", "right", func(p peerStatus) bool { return p.Children[0].PacketsOut > before+100 })
			ok(t, n.left.SetLink("wan", true), n.left.Route("default", "192.0.2.2", 0))
			n.wantPing(t, 15*time.Second)

			ok(t, n.left.SetLink("culvert0", false))
			ok(t, n.left.SetLink("culvert0", true))
			n.wantPing(t, 15*time.Second)
			stream.Stop(time.Second)
			if p := left.peer("right"); p.SPIi != spi {
				t.Error("the IKE SA is another one")
			}
			left.stop()
			right.stop()
		})
	}
}
