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
	for _, tt := range []struct {
		connects string
		outer    outer
	}{{"culvert", outer4}, {"strongSwan", outer4}, {"culvert", outer6}} {
		connects := tt.connects
		t.Run(connects+" connects over "+tt.outer.name, func(t *testing.T) {
			n := build(t, topology{})
			s := n.swan(t, func(c *netlab.SwanConfig) {
				c.RemoteAddr = tt.outer.left
				c.Children["v6"] = [2]string{"fd02::/64", "fd01::/64"}
			})
			start := "  start = \"never\"\n"
			if connects == "culvert" {
				start = boot + "\n"
			}
			left := newGateway(t, n.left)
			left.start(peerText("right", "remote = \""+tt.outer.right+"\"\n"+identities("left", "right"),
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

// TestStrongSwanGrantsParts: strongSwan has a child for each of its networks, and culvert one for
// all. What the first Child SA does not carry follows when a packet needs it, whoever connects, and
// every Child SA is rekeyed.
func TestStrongSwanGrantsParts(t *testing.T) {
	for _, connects := range []string{"culvert", "strongSwan"} {
		t.Run(connects+" connects", func(t *testing.T) {
			n := build(t, topology{})
			ok(t, n.right.LAN("lan2", "10.2.1.1/24"))
			s := n.swan(t, func(c *netlab.SwanConfig) {
				c.RemoteAddr = "192.0.2.1"
				c.Children["more"] = [2]string{"10.2.1.0/24", "10.1.0.0/24"}
			})
			left := newGateway(t, n.left)
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"),
				childText("v4", "10.1.0.0/24", "10.2.0.0/16", "  lifetime = { time = \"8s\" }\n")))
			if connects == "strongSwan" {
				ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
				ctl(t, s, "--initiate", "--child", "more", "--timeout", "15")
			}
			both := []netip.Addr{rightLAN4, addr("10.2.1.1")}
			for _, to := range both {
				n.wantTrafficOf(t, 1<<16, leftLAN4, to)
			}
			c := left.child("right", "v4")
			if len(c.PartSAs) != 1 || c.RemoteTS[0] == c.PartSAs[0].RemoteTS[0] || c.Drops["not_granted"] != 0 {
				t.Errorf("networks %v, parts %+v, drops %v", c.RemoteTS, c.PartSAs, c.Drops)
			}
			var streams []*netlab.Stream
			for _, to := range both {
				stream, err := netlab.StartStream(n.left, leftLAN4, n.right, to, 100, 200)
				ok(t, err)
				streams = append(streams, stream)
			}
			left.wait(30*time.Second, "two rekeyings of each", "right", func(p peerStatus) bool {
				return p.Children[0].Rekeys >= 4 && len(p.Children[0].PartSAs) == 1 && p.Children[0].PartSAs[0].SPIIn != c.PartSAs[0].SPIIn
			})
			for i, stream := range streams {
				if lost := stream.Stop(3 * time.Second); lost != 0 {
					t.Errorf("to %v: %d of %d packets lost", both[i], lost, stream.Sent.Load())
				}
			}
		})
	}
}
