//go:build linux

package e2e

import (
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// TestSmallPathMTU puts a link with a smaller MTU on the path: TCP goes on (clamped MSS, ICMP
// errors), and large packets are answered by ICMP rather than vanish.
func TestSmallPathMTU(t *testing.T) {
	for _, keys := range []string{protocol50, "encap = \"always\"\n"} {
		t.Run("keys "+keys, func(t *testing.T) {
			n := build(t, topology{mtu: 1300})
			left, _ := pair(t, n, "192.0.2.2", keys)
			n.wantTraffic(t, 2<<20)
			if m := left.child("right", "v4").MTU; m < 1200 || m >= 1300-8-8-16-20 {
				t.Errorf("inner MTU %d over a path of 1300", m)
			}
		})
	}
}

// TestSmallestIPv6Path: in IPv6 with its minimum MTU, inner IPv6 still has 1280 octets, in outer
// fragments.
func TestSmallestIPv6Path(t *testing.T) {
	for _, keys := range []string{protocol50, "encap = \"always\"\n"} {
		t.Run("keys "+keys, func(t *testing.T) {
			n := build(t, topology{mtu: 1280})
			left, _ := pair(t, n, "2001:db8::2", keys)
			n.wantTraffic(t, 1<<20)
			for _, size := range []int{1280 - 48, 1400} { // whole up to 1280 octets; then in the sender's fragments
				_, err := n.left.Ping(t.Context(), leftLAN6, rightLAN6, size)
				ok(t, err)
			}
			if m := left.child("right", "v6").MTU; m < 1180 || m > 1280-40-34 {
				t.Errorf("inner MTU %d over a path of 1280", m)
			}
		})
	}
}

// TestPathMTUShrinks makes the path smaller while the tunnel is up.
func TestPathMTUShrinks(t *testing.T) {
	n := build(t, topology{nat: true})
	left, _ := pair(t, n, "192.0.2.2", "")
	n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
	link, err := n.nat.Netlink().LinkByName("out")
	ok(t, err, n.nat.Netlink().LinkSetMTU(link, 1280+20))
	n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
	left.wait(90*time.Second, "the child's MTU to follow", "right", func(p peerStatus) bool { return p.Children[0].MTU < 1300-28 })
}

// TestHostileDatagrams sends junk to both ports of a live gateway: its tunnel stays up, and the
// junk is counted.
func TestHostileDatagrams(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	spi := right.peer("left").SPIi
	_, wantNoneLost := n.streams(t)
	var c net.PacketConn
	ok(t, n.left.Do(func() (err error) { c, err = net.ListenPacket("udp", "192.0.2.1:0"); return err }))
	defer c.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 4000 {
		b := make([]byte, rng.IntN(200))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		port := 500
		if i%2 == 1 {
			port = 4500
		}
		if i%4 == 3 && len(b) > 4 {
			clear(b[:4]) // a non-ESP marker
		}
		_, err := c.WriteTo(b, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: port})
		ok(t, err)
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // paced, so that the receiver's socket does not overflow; no assertion depends on it
		}
	}
	wantNoneLost()
	s := right.status()
	if s.Counters["ike_malformed"] == 0 || s.Counters["esp_unknown_spi"] == 0 {
		t.Errorf("rubbish was not counted: %v", s.Counters)
	}
	if p := right.peer("left"); p.SPIi != spi || p.State != "established" {
		t.Errorf("the tunnel did not stand: %+v", p)
	}
	left.do("rekey", "right")
}
