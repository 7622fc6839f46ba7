package guard

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Packets of protected flows leave by the device or not at all. Others pass.
func TestOutbound(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats()
	send(t, s.gw,
		udp("10.1.0.1", "10.2.0.1", 1, 7, 1), udp("fd01::1", "fd02::1", 1, 7, 2),
		udp("10.1.1.1", "10.2.0.1", 1, 7, 3), udp("fd01:0:0:1::1", "fd02::1", 1, 7, 4), // source not in a local network
		udp("10.1.0.1", "10.2.1.0", 1, 7, 5), udp("fd01::1", "fd02:0:0:1::", 1, 7, 6), // destination not in a remote network
		udp("10.1.0.255", "10.2.0.255", 1, 7, 7), udp("fd01::ffff:ffff:ffff:ffff", "fd02::ffff:ffff:ffff:ffff", 1, 7, 8),
		udp("10.2.0.1", "10.1.9.1", 1, 7, 9),
		udp("10.1.0.1", "10.2.0.1", 68, 67, 10), udp("10.1.0.1", "10.2.0.1", 67, 68, 11),
		udp("fd01::1", "fd02::1", 546, 547, 12), udp("fd01::1", "fd02::1", 68, 67, 13),
	)
	for _, id := range []uint32{3, 4, 5, 6, 9, 10, 11, 12} {
		s.seen.await(t, id)
	}
	for _, id := range []uint32{1, 2, 7, 8, 13} {
		if s.seen.has(id) {
			t.Errorf("packet %d left in plain", id)
		}
	}
	wantStats(t, g, before, 5, 0, 0)

	// They may leave by the device, and the tunnels' own packets by any.
	through := sniff(t, s.tunnel, deviceName)
	route(t, s.gw, "10.2.0.0/24", "198.51.100.2")
	route(t, s.gw, "fd02::/64", "2001:db8:9::2")
	send(t, s.gw, udp("10.1.0.1", "10.2.0.1", 1, 7, 21), udp("fd01::1", "fd02::1", 1, 7, 22))
	through.await(t, 21)
	through.await(t, 22)
	for i, m := range []uint32{0x20, 0x1ff3f, 0x40, 0x60, 0xc000} {
		marked := markedSocket(t, s, m)
		_, _ = marked.Write(payload(uint32(31 + i)))
	}
	s.seen.await(t, 31)
	s.seen.await(t, 32)
	wantStats(t, g, before, 8, 0, 0)
}

// markedSocket returns a UDP socket of the gateway with a mark, bound to the outer device and to a
// protected flow (P10).
func markedSocket(t *testing.T, s *site, mark uint32) net.Conn {
	t.Helper()
	return boundSocket(t, s, "10.1.0.254", "10.2.0.1", mark)
}

func boundSocket(t *testing.T, s *site, src, dst string, mark uint32) net.Conn {
	t.Helper()
	var conn net.Conn
	err := s.gw.Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(src)}, Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = unix.BindToDevice(int(fd), "wan")
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
			})
		}}
		conn, err = d.Dial("udp", net.JoinHostPort(dst, "7"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A socket bound to the outer device bypasses the routes.
func TestBoundToDevice(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats()
	for i, c := range []net.Conn{boundSocket(t, s, "10.1.0.254", "10.2.0.1", 0), boundSocket(t, s, "fd01::254", "fd02::1", 0)} {
		if _, err := c.Write(payload(uint32(1 + i))); err == nil {
			t.Error("the sender is not told")
		}
	}
	send(t, s.gw, udp("192.0.2.1", "192.0.2.2", 1, 7, 9))
	s.seen.await(t, 9)
	wantStats(t, g, before, 2, 0, 0)
}

// Forwarded packets are dropped, and those whose source becomes a protected one by NAT.
func TestForwardedAndTranslated(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{
		policy("lan", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64")),
		policy("host", pfx("10.99.0.1/32", "fd99::1/128"), pfx("10.3.0.0/24", "fd03::/64")),
	}, nil))
	before := g.Stats()
	send(t, s.inside, udp("10.1.0.5", "10.2.0.1", 1, 7, 1), udp("fd01::5", "fd02::1", 1, 7, 2), udp("10.1.0.5", "10.3.0.1", 1, 7, 3))
	s.seen.await(t, 3)
	wantStats(t, g, before, 2, 0, 0)

	nft(t, s.gw, "add table inet t; add chain inet t post { type nat hook postrouting priority srcnat; };"+
		"add rule inet t post ip saddr 10.1.0.5 ip daddr 10.3.0.0/24 snat to 10.99.0.1;"+
		"add rule inet t post ip6 saddr fd01::5 ip6 daddr fd03::/64 snat to fd99::1;"+
		"add rule inet t post ip saddr 10.1.0.5 masquerade")
	// A source masqueraded to 10.99.0.1 (P9), and a protected source that NAT would hide.
	send(t, s.inside, udp("10.1.0.5", "10.3.0.1", 5, 7, 11), udp("fd01::5", "fd03::1", 5, 7, 12), udp("10.1.0.5", "10.2.0.1", 5, 7, 13), udp("10.1.0.5", "10.4.0.1", 5, 7, 14))
	s.seen.await(t, 14)
	wantStats(t, g, before, 5, 0, 0)
	for _, id := range []uint32{1, 2, 11, 12, 13} {
		if s.seen.has(id) {
			t.Errorf("packet %d left in plain", id)
		}
	}
}

// Packets that must come from the device are not accepted from any other (P11).
func TestInbound(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats().In
	arrived := sniff(t, s.inside, "lan")
	spoofed := [][]byte{
		udp("10.2.0.1", "10.1.0.5", 1, 7, 1), udp("fd02::1", "fd01::5", 1, 7, 2), // to a host behind us
		udp("10.2.0.1", "10.1.0.254", 1, 7, 3), udp("fd02::1", "fd01::254", 1, 7, 4), // to us
		udp("10.2.0.1", "10.1.0.5", 1, 4500, 5),                                  // our port, another's address
		udp("10.3.0.1", "10.1.0.5", 1, 7, 6), udp("fd03::1", "fd01::5", 1, 7, 7), // not in protected networks
	}
	send(t, s.outside, spoofed...)
	arrived.await(t, 6)
	arrived.await(t, 7)
	wantIn(t, s, g, before+5)
	send(t, s.tunnel, udp("10.2.0.1", "10.1.0.5", 1, 7, 11), udp("fd02::1", "fd01::5", 1, 7, 12))
	arrived.await(t, 11)
	arrived.await(t, 12)
	wantIn(t, s, g, before+5)

	// A destination that becomes a local one by DNAT.
	nft(t, s.gw, "add table ip t; add chain ip t pre { type nat hook prerouting priority dstnat; }; add rule ip t pre ip daddr 192.0.2.1 udp dport 80 dnat to 10.1.0.5")
	send(t, s.outside, udp("10.2.0.1", "192.0.2.1", 1, 80, 21), udp("10.3.0.1", "192.0.2.1", 1, 80, 22))
	arrived.await(t, 22)
	wantIn(t, s, g, before+6)
	for _, id := range []uint32{1, 2, 3, 4, 5, 21} {
		if arrived.has(id) {
			t.Errorf("packet %d was believed", id)
		}
	}
}

// This host renews its lease by any device. Hosts behind it reach a server in a remote network by
// the device.
func TestDHCP(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats()
	arrived := sniff(t, s.inside, "lan")
	send(t, s.gw, udp("10.1.0.254", "10.2.0.1", 68, 67, 1), udp("fd01::254", "fd02::1", 546, 547, 2))
	send(t, s.inside, udp("10.1.0.5", "10.2.0.1", 68, 67, 3), udp("fd01::5", "fd02::1", 546, 547, 4), udp("10.1.0.5", "10.3.0.1", 68, 67, 5))
	send(t, s.outside, udp("10.2.0.1", "10.1.0.254", 67, 68, 6), udp("fd02::1", "fd01::254", 547, 546, 7),
		udp("10.2.0.1", "10.1.0.5", 67, 68, 8), udp("fd02::1", "fd01::5", 547, 546, 9))
	for _, id := range []uint32{1, 2, 5} {
		s.seen.await(t, id)
	}
	wantIn(t, s, g, before.In+2)
	if got := g.Stats().Out; got != before.Out+2 {
		t.Errorf("%d packets were held back, want 2", got-before.Out)
	}
	if s.seen.has(3) || s.seen.has(4) || arrived.has(8) || arrived.has(9) {
		t.Error("DHCP of a host behind the gateway passed in plain")
	}
}

// wantIn waits until that number of packets was refused, and checks that there are not more.
func wantIn(t *testing.T, s *site, g *Guard, want uint64) {
	t.Helper()
	waitStats(t, g, func(st Stats) bool { return st.In >= want })
	back := sniff(t, s.inside, "lan")
	send(t, s.outside, udp("198.18.0.1", "10.1.0.5", 1, 7, barrierID))
	back.await(t, barrierID)
	if got := g.Stats().In; got != want {
		t.Errorf("%d packets were refused, want %d", got, want)
	}
}

// fragment returns a fragment other than the first or, with an offset of 0, the first of several.
func fragment(src, dst netip.Addr, proto byte, offset uint16, more bool) []byte {
	m := uint16(0)
	if more {
		m = 1
	}
	if src.Is4() {
		b := ip(src, dst, proto, 64, make([]byte, 64))
		b[6], b[7] = byte(m<<5|offset>>11), byte(offset>>3)
		return b
	}
	head := []byte{proto, 0, byte(offset >> 8), byte(offset) | byte(m), 1, 2, 3, 4}
	return ip(src, dst, unix.IPPROTO_FRAGMENT, 64, append(head, make([]byte, 64)...))
}
