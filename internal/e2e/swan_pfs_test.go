//go:build linux

package e2e

import (
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestStrongSwanPFS lets the lifetime of a Child SA end several times, with culvert's default
// proposals: whatever strongSwan says of PFS and whoever connects and rekeys, no packet is lost.
func TestStrongSwanPFS(t *testing.T) {
	const short = "  lifetime = { time = \"2s\" }\n"
	for _, esp := range []struct{ name, proposal string }{
		{"PFS", "aes128gcm16-x25519"},
		{"no PFS", "aes128gcm16"},
		{"another group first", "aes128gcm16-ecp256-x25519"},
	} {
		for _, connects := range []string{"culvert", "strongSwan"} {
			for _, rekeys := range []string{"culvert", "strongSwan"} {
				t.Run(esp.name+", "+connects+" connects, "+rekeys+" rekeys", func(t *testing.T) {
					t.Parallel()
					n := build(t, topology{})
					s := n.swan(t, func(c *netlab.SwanConfig) {
						c.RemoteAddr, c.ESP = "192.0.2.1", esp.proposal
						if rekeys == "strongSwan" {
							c.ChildRekey, c.ChildLife = "2s", "20s"
						}
					})
					child := "  start = \"never\"\n"
					if connects == "culvert" {
						child = boot + "\n"
					}
					if rekeys == "culvert" {
						child += short
					}
					left := leftOf(t, n, "", child)
					if connects == "strongSwan" {
						ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
					}
					left.waitUp("right")
					n.wantNoneLostOver(t, left, 3)
				})
			}
		}
	}
}

// wantNoneLostOver checks that 200 packets/s each way all arrive while the child is rekeyed.
func (n *network) wantNoneLostOver(t *testing.T, left *gateway, rekeys int) {
	t.Helper()
	n.wantPing(t, 10*time.Second)
	begun := left.child("right", "v4").Rekeys
	right, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 200, 200)
	ok(t, err)
	back, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 200, 200)
	ok(t, err)
	left.wait(20*time.Second, "rekeys by lifetime", "right", func(p peerStatus) bool {
		return p.Children[0].Rekeys >= begun+rekeys && p.Children[0].State == "installed"
	})
	for name, s := range map[string]*netlab.Stream{"left to right": right, "right to left": back} {
		if lost := s.Stop(3 * time.Second); lost != 0 || s.Sent.Load() < 200 {
			t.Errorf("%s: %d of %d datagrams lost", name, lost, s.Sent.Load())
		}
	}
	wantNeverDown(t, left)
}
