package guard

import (
	"net"
	"net/netip"
	"testing"

	"culvert/tun/protect"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

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
