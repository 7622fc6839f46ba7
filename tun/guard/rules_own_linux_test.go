package guard

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"culvert/tun/protect"

	"golang.org/x/sys/unix"
)

// The tunnels' own packets are accepted where the peer's address is in a remote network and ours in
// a local one.
func TestOwnPacketsAreLetIn(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{
		policy("host", pfx("192.0.2.1/32", "2001:db8::1/128", "10.1.0.0/24", "fd01::/64"), pfx("192.0.2.2/32", "2001:db8::2/128")),
	}, nil))
	want := g.Stats().In
	for _, a := range [][2]string{{"192.0.2.2", "192.0.2.1"}, {"2001:db8::2", "2001:db8::1"}} {
		peer, us := netip.MustParseAddr(a[0]), netip.MustParseAddr(a[1])
		esp := ip(us, peer, unix.IPPROTO_ESP, 64, make([]byte, 32))
		ours := ip(us, peer, unix.IPPROTO_UDP, 64, udpHeader(4500, 31000, make([]byte, 16)))
		tcp := ip(us, peer, unix.IPPROTO_TCP, 64, make([]byte, 32))
		unreachable, tooBig := byte(3), byte(3)
		if us.Is6() {
			unreachable, tooBig = 1, 2
		}
		good := [][]byte{
			ip(peer, us, unix.IPPROTO_ESP, 64, make([]byte, 32)),
			udp(a[0], a[1], 4500, 4500, 0), udp(a[0], a[1], 500, 500, 0), udp(a[0], a[1], 31000, 4500, 0),
			fragment(peer, us, unix.IPPROTO_UDP, 64, true), fragment(peer, us, unix.IPPROTO_ESP, 0, true),
			icmpQuoting(a[0], a[1], unreachable, esp), icmpQuoting(a[0], a[1], tooBig, ours),
		}
		lan := "10.1.0.5"
		if us.Is6() {
			lan = "fd01::5"
		}
		bad := [][]byte{
			udp(a[0], a[1], 4500, 53, 0), ip(peer, us, unix.IPPROTO_TCP, 64, make([]byte, 32)), fragment(peer, us, unix.IPPROTO_TCP, 64, false),
			icmpQuoting(a[0], a[1], unreachable, tcp), udp(a[0], lan, 4500, 4500, 0), ip(peer, netip.MustParseAddr(lan), unix.IPPROTO_ESP, 64, make([]byte, 32)),
		}
		send(t, s.outside, append(good, bad...)...)
		want += uint64(len(bad))
		wantIn(t, s, g, want)
	}
}

// The daemon's questions to a resolver have its mark, and leave. The answers are accepted although
// their source is in a remote network and their destination a local one. Those to unmarked sockets
// are not.
func TestAnswersToMarkedSockets(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	if !g.cfg.sockets {
		t.Skip("the kernel cannot tell the socket of a packet (CONFIG_NFT_SOCKET)")
	}
	before := g.Stats().In
	for i, mark := range []uint32{0x20, 0x0} {
		conn := boundSocket(t, s, "10.1.0.254", "10.2.0.1", mark)
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		send(t, s.outside, udp("10.2.0.1", "10.1.0.254", 7, uint16(conn.LocalAddr().(*net.UDPAddr).Port), 1))
		if mark == 0 {
			wantIn(t, s, g, before+uint64(i))
		} else if _, err := conn.Read(make([]byte, 100)); err != nil {
			t.Errorf("the answer to a marked socket: %v", err)
		}
	}
}
