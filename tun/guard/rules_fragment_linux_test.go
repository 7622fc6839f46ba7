package guard

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// cutUDP returns a UDP datagram as two IP fragments, the first with 16 octets of it.
func cutUDP(src, dst string, id uint32) (first, later []byte) {
	whole := udpHeader(1, 7, append(make([]byte, 8), payload(id)...))
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	part := func(data []byte, offset byte, more byte) []byte {
		if a.Is4() {
			p := ip(a, b, unix.IPPROTO_UDP, 64, data)
			p[4], p[5], p[6], p[7] = 7, byte(id), more<<5, offset/8
			return p
		}
		return ip(a, b, unix.IPPROTO_FRAGMENT, 64, append([]byte{unix.IPPROTO_UDP, 0, 0, offset | more, 0, 0, 7, byte(id)}, data...))
	}
	return part(whole[:16], 0, 1), part(whole[16:], 16, 0)
}

// Connection tracking reassembles fragments. A fragment that arrived in the clear does not become a
// part of a packet that came by the device.
func TestFragmentsInPlain(t *testing.T) {
	s := newSite(t)
	nft(t, s.gw, "add table inet t; add chain inet t pre { type filter hook prerouting priority 0; }; add rule inet t pre ct state invalid drop")
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats().In
	arrived := sniff(t, s.inside, "lan")
	for i, a := range [][2]string{{"10.2.0.1", "10.1.0.5"}, {"fd02::1", "fd01::5"}} {
		id := uint32(1 + 3*i)
		first1, later1 := cutUDP(a[0], a[1], id)
		first2, later2 := cutUDP(a[0], a[1], id+1)
		whole1, whole2 := cutUDP(a[0], a[1], id+2)
		send(t, s.outside, first1, later2, udp("10.3.0.1", "10.1.0.5", 1, 7, 100+id))
		arrived.await(t, 100+id)
		send(t, s.tunnel, later1, first2, whole1, whole2)
		arrived.await(t, id+2)
		wantIn(t, s, g, before+2*uint64(i+1))
		for n := id; n < id+2; n++ {
			if arrived.has(n) {
				t.Errorf("packet %d is in part from outside, and was believed", n)
			}
		}
	}
}
