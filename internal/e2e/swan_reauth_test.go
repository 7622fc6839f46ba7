//go:build linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestStrongSwanReauthenticates limits the authentication on one side, in both roles. Whoever
// connected makes a new IKE SA in time, and the tunnel is never down.
func TestStrongSwanReauthenticates(t *testing.T) {
	for _, connects := range []string{"culvert", "strongSwan"} {
		for _, limits := range []string{"culvert", "strongSwan"} {
			t.Run(connects+" connects, "+limits+" limits", func(t *testing.T) {
				t.Parallel()
				n := build(t, topology{})
				s := n.swan(t, func(c *netlab.SwanConfig) {
					c.RemoteAddr, c.Extra = "192.0.2.1", "make_before_break = yes\n"
					// It authenticates again its over_time before the limit that we tell.
					c.Connection = "over_time = 4s\n"
					if limits == "strongSwan" {
						c.Connection = "reauth_time = 10s\nover_time = 10s\nrand_time = 0s\n"
					}
				})
				keys, start := "", boot+"\n"
				if limits == "culvert" {
					keys = "auth_lifetime = \"12s\"\n"
				}
				if connects == "strongSwan" {
					start = "  start = \"never\"\n"
				}
				left := leftOf(t, n, keys, start)
				if connects == "strongSwan" {
					ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
				}
				left.waitUp("right")
				n.wantReauthentications(t, left, 1)
			})
		}
	}
}

// wantReauthentications checks that 200 packets/s each way arrive while new IKE SAs take the place
// of old ones. A tenth of a second may be lost of each: strongSwan sends on the new Child SA before
// its IKE_AUTH response is read, which on a busy machine takes a while.
func (n *network) wantReauthentications(t *testing.T, left *gateway, times int) {
	t.Helper()
	n.wantPing(t, 10*time.Second)
	right, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 200, 200)
	ok(t, err)
	back, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 200, 200)
	ok(t, err)
	for i, spi := 0, left.peer("right").SPIi; i < times; i++ {
		left.wait(25*time.Second, "another IKE SA", "right", func(p peerStatus) bool {
			other := p.SPIi != spi && p.State == "established" && p.Children[0].State == "installed"
			if other {
				spi = p.SPIi
			}
			return other
		})
	}
	for name, s := range map[string]*netlab.Stream{"left to right": right, "right to left": back} {
		if lost := s.Stop(3 * time.Second); lost > uint64(20*times) || s.Sent.Load() < 200 {
			t.Errorf("%s: %d of %d datagrams lost", name, lost, s.Sent.Load())
		}
	}
	if strings.Contains(left.proc.Output(), "event=child-down") {
		t.Error("the Child SA was down")
	}
}
