package guard

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
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

// ICMP errors with a decrypted packet do not leave in the clear (P7, P8).
func TestQuotedPackets(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats()
	decrypted4, decrypted6 := udp("10.2.0.1", "10.1.0.5", 1, 7, 1), udp("fd02::1", "fd01::5", 1, 7, 1)
	sent4, sent6 := udp("10.1.0.5", "10.2.0.1", 1, 7, 2), udp("fd01::5", "fd02::1", 1, 7, 2)
	options := icmpQuoting("10.7.0.1", "10.2.0.1", 3, decrypted4)
	options = append([]byte{0x46, 0, 0, byte(len(options) + 4)}, append(options[4:20:20], append([]byte{1, 1, 1, 1}, options[20:]...)...)...)
	var bad [][]byte
	for _, typ := range errorTypes4 {
		bad = append(bad, icmpQuoting("10.7.0.1", "10.2.0.1", typ, decrypted4))
	}
	for _, typ := range errorTypes6 {
		bad = append(bad, icmpQuoting("2001:db8::1", "fd02::1", typ, decrypted6))
	}
	bad = append(bad, options, redirectQuoting("2001:db8::1", "fd02::1", "fd01::5", decrypted6))
	send(t, s.gw, bad...)
	wantStats(t, g, before, 0, 0, uint64(len(bad)))
	// Errors about packets of a local host go back to it; those about other flows go anywhere.
	arrived := sniff(t, s.inside, "lan")
	send(t, s.gw, icmpQuoting("10.1.0.254", "10.1.0.5", 3, sent4), icmpQuoting("fd01::254", "fd01::5", 1, sent6))
	arrived.await(t, 2)
	send(t, s.gw, icmpQuoting("192.0.2.1", "192.0.2.2", 3, udp("192.0.2.2", "192.0.2.1", 1, 7, 3)))
	s.seen.await(t, 3)
	if s.seen.has(1) {
		t.Error("a decrypted packet left in plain, quoted")
	}
	wantStats(t, g, before, 0, 0, uint64(len(bad)))
}

// The kernel's own errors about decrypted packets get a mark, by which a rule leads them into the
// device.
func TestErrorsAreLedBack(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats()
	dying := func(src, dst string, id uint32) []byte {
		a := netip.MustParseAddr(src)
		return ip(a, netip.MustParseAddr(dst), unix.IPPROTO_UDP, 1, udpHeader(1, 7, payload(id)))
	}
	// Without that rule they are dropped.
	send(t, s.tunnel, dying("10.2.0.1", "10.1.0.5", 1), dying("fd02::1", "fd01::5", 1))
	waitStats(t, g, func(st Stats) bool { return st.ICMP == before.ICMP+2 })
	mark, _ := protect.DefaultMark.Errors()
	for i, via := range []string{"198.51.100.2", "2001:db8:9::2"} {
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority, rule.Mark, rule.Mask = []int{unix.AF_INET, unix.AF_INET6}[i], 99, 5, mark.Value, &mark.Mask
		if err := s.gw.Netlink().RuleAdd(rule); err != nil {
			t.Fatal(err)
		}
		_, all, _ := net.ParseCIDR([]string{"0.0.0.0/0", "::/0"}[i])
		if err := s.gw.Netlink().RouteAdd(&netlink.Route{Dst: all, Gw: net.ParseIP(via), Table: 99}); err != nil {
			t.Fatal(err)
		}
	}
	through := sniff(t, s.tunnel, deviceName)
	send(t, s.tunnel, dying("10.2.0.1", "10.1.0.5", 12))
	through.await(t, 12)
	send(t, s.tunnel, dying("fd02::1", "fd01::5", 16))
	through.await(t, 16)
	if s.seen.has(1) || s.seen.has(12) || s.seen.has(16) {
		t.Error("a decrypted packet left in plain, quoted")
	}
	wantStats(t, g, before, 0, 0, 2)
}

// Where a remote network contains the routers of the Internet, their errors about bypassed flows
// are accepted, also after NAT. Those about protected flows and about flows of no policy are not.
func TestErrorsAboutBypassedFlows(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	set.Exempt(pfx("203.0.113.0/24", "2001:db8:113::/48"), nil)
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{
		policy("lan", pfx("10.1.0.0/24", "fd01::/64"), pfx("0.0.0.0/0", "::/0")),
	}, nil))
	before := g.Stats().In
	arrived := sniff(t, s.inside, "lan")
	send(t, s.outside,
		icmpQuoting("198.51.100.77", "10.1.0.5", 3, udp("10.1.0.5", "203.0.113.9", 1, 7, 1)),
		icmpQuoting("2001:db8:77::1", "fd01::5", 2, udp("fd01::5", "2001:db8:113::9", 1, 7, 2)),
		icmpQuoting("198.51.100.77", "10.1.0.5", 3, udp("10.1.0.5", "203.0.114.9", 1, 7, 3)),
		icmpQuoting("2001:db8:77::1", "fd01::5", 2, udp("fd01::5", "2001:db8:114::9", 1, 7, 4)),
		icmpQuoting("198.51.100.77", "10.1.0.5", 3, udp("10.9.0.5", "203.0.113.9", 1, 7, 5)),
		icmpQuoting("2001:db8:77::1", "fd01::5", 2, udp("fd09::5", "2001:db8:113::9", 1, 7, 6)),
		icmpQuoting("198.51.100.77", "10.1.0.5", 8, udp("10.1.0.5", "203.0.113.9", 1, 7, 7)),
	)
	arrived.await(t, 1)
	arrived.await(t, 2)
	want := before + 5
	waitStats(t, g, func(st Stats) bool { return st.In >= want })

	nft(t, s.gw, "add table ip t; add chain ip t post { type nat hook postrouting priority srcnat; }; add rule ip t post oifname wan masquerade")
	sent := udp("10.1.0.5", "203.0.113.9", 5, 7, 11)
	send(t, s.inside, sent)
	s.seen.await(t, 11)
	copy(sent[12:16], []byte{192, 0, 2, 1})
	send(t, s.outside, icmpQuoting("198.51.100.77", "192.0.2.1", 3, sent))
	arrived.await(t, 11)
	if got := g.Stats().In; got != want {
		t.Errorf("%d packets were refused, want %d", got-before, want-before)
	}
	for id := uint32(3); id < 8; id++ {
		if arrived.has(id) {
			t.Errorf("error %d was believed", id)
		}
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
