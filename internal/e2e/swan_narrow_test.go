//go:build linux

package e2e

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
)

// TestStrongSwanNarrows: strongSwan has a part of the remote networks that culvert has. Culvert
// says so, whoever connects, and the sender of a packet outside hears of it at once.
func TestStrongSwanNarrows(t *testing.T) {
	for _, connects := range []string{"culvert", "strongSwan"} {
		t.Run(connects+" connects", func(t *testing.T) {
			n := build(t, topology{})
			s := n.swan(t, func(c *netlab.SwanConfig) {
				c.RemoteAddr = "192.0.2.1"
				c.Children["v6"] = [2]string{"fd02::/64", "fd01::/64"}
			})
			start := "  start = \"never\"\n"
			if connects == "culvert" {
				start = boot + "\n"
			}
			left := newGateway(t, n.left)
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"),
				childText("v4", "10.1.0.0/24", "10.2.0.0/16", start), childText("v6", "fd01::/64", "fd02::/48", start)))
			if connects == "strongSwan" {
				ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
				ctl(t, s, "--initiate", "--child", "v6", "--timeout", "15")
			}
			left.waitUp("right")
			n.wantTraffic(t, 1<<16)
			for name, c := range map[string]struct {
				from, to       netip.Addr
				asked, granted string
				err            error
			}{
				"v4": {leftLAN4, addr("10.2.1.9"), "10.2.0.0/16", "10.2.0.0/24", unix.EHOSTUNREACH},
				"v6": {leftLAN6, addr("fd02:0:0:1::9"), "fd02::/48", "fd02::/64", unix.EACCES},
			} {
				if st := left.child("right", name); !st.Narrowed || len(st.AskedRemote) != 1 || st.AskedRemote[0] != c.asked || len(st.RemoteTS) != 1 || st.RemoteTS[0] != c.granted {
					t.Errorf("%s: narrowed %v, asked %v, granted %v", name, st.Narrowed, st.AskedRemote, st.RemoteTS)
				}
				socket := udp(t, n.left, netip.AddrPortFrom(c.from, 0), netip.AddrPortFrom(c.to, 9))
				hearsErrors(t, socket, c.to.Is4(), 0)
				_, err := socket.Write([]byte("outside"))
				ok(t, err, socket.SetReadDeadline(time.Now().Add(5*time.Second)))
				if _, err := socket.Read(make([]byte, 1)); !errors.Is(err, c.err) {
					t.Errorf("%s: %v, want %v", name, err, c.err)
				}
				if n := left.child("right", name).Drops["not_granted"]; n != 1 {
					t.Errorf("%s: %d packets are counted as outside, want 1", name, n)
				}
			}
		})
	}
}
