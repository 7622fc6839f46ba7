//go:build linux

package e2e

import (
	"bytes"
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

// TestStrongSwanSendsBeforeItsAnswer holds what strongSwan says for 50 ms. The packets that it
// sends on a new Child SA are here before its IKE_AUTH response, and none is lost.
func TestStrongSwanSendsBeforeItsAnswer(t *testing.T) {
	n := build(t, topology{wire: true})
	n.swan(t, func(c *netlab.SwanConfig) { c.RemoteAddr = "192.0.2.1" })
	left := leftOf(t, n, "auth_lifetime = \"12s\"\n", boot+"\n")
	left.waitUp("right")
	ofRight, ike := []byte{192, 0, 2, 2, 192, 0, 2, 1, 4500 >> 8, 4500 & 0xff}, make([]byte, 4) // RFC 3948, Section 2.2
	n.wire.Impair(netlab.Impairment{Hold: func(frame []byte) time.Duration {
		if len(frame) > 46 && bytes.Equal(frame[26:36], ofRight) && bytes.Equal(frame[42:46], ike) {
			return 50 * time.Millisecond
		}
		return 0
	}})
	n.wantReauthentications(t, left, 2)
	if c := left.status().Counters; c["esp_early"] < 8 || c["esp_early_dropped"] != 0 || c["esp_unknown_spi"] != 0 {
		t.Errorf("%d early packets, %d of them dropped, %d of unknown SPIs", c["esp_early"], c["esp_early_dropped"], c["esp_unknown_spi"])
	}
}

// wantReauthentications checks that 200 packets/s each way arrive while new IKE SAs take the place
// of old ones. What strongSwan loses is its own concern: on a busy machine it deletes an old Child
// SA before it has read all that came for it.
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
	if lost := back.Stop(3 * time.Second); lost != 0 || back.Sent.Load() < 200 {
		t.Errorf("right to left: %d of %d datagrams lost: %d", lost, back.Sent.Load(), back.Missing())
	}
	if lost := right.Stop(3 * time.Second); lost > uint64(20*times) || right.Sent.Load() < 200 {
		t.Errorf("left to right: %d of %d datagrams lost: %d", lost, right.Sent.Load(), right.Missing())
	} else {
		t.Logf("left to right: %d of %d datagrams lost: %d", lost, right.Sent.Load(), right.Missing())
	}
	if t.Failed() {
		n.logDrops(t)
	}
	if strings.Contains(left.proc.Output(), "event=child-down") {
		t.Error("the Child SA was down")
	}
}
