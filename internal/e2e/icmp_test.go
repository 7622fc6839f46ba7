//go:build linux

package e2e

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
)

// hearsErrors makes a connected UDP socket report the ICMP errors of routers, forbids the
// fragmentation of its packets, and sets their TTL (0: the usual one).
func hearsErrors(t *testing.T, c *net.UDPConn, v4 bool, ttl int) {
	t.Helper()
	raw, err := c.SyscallConn()
	ok(t, err)
	opts := map[int]int{unix.IP_RECVERR: 1, unix.IP_MTU_DISCOVER: unix.IP_PMTUDISC_DO, unix.IP_TTL: ttl}
	level := unix.IPPROTO_IP
	if !v4 {
		opts = map[int]int{unix.IPV6_RECVERR: 1, unix.IPV6_MTU_DISCOVER: unix.IPV6_PMTUDISC_DO, unix.IPV6_UNICAST_HOPS: ttl}
		level = unix.IPPROTO_IPV6
	}
	var set []error
	ok(t, raw.Control(func(fd uintptr) {
		for opt, value := range opts {
			if value != 0 {
				set = append(set, unix.SetsockoptInt(int(fd), level, opt, value))
			}
		}
	}), errors.Join(set...))
}

// TestErrorsOfTheGateway: a gateway without an address in any local network makes ICMP errors about
// decrypted packets. They return by the SA and arrive; none leaves in the clear.
//
//	[inner] lan 10.7.0.1 fd07::1, wan 172.16.0.2 fd16::2 -- MTU 1000, 1280 -- inner [left]
//	[left] wan ------ wan [right] lan 10.2.0.1 fd02::1
func TestErrorsOfTheGateway(t *testing.T) {
	n := build(t, topology{})
	host, err := n.lab.Host("inner")
	ok(t, err)
	ok(t, n.lab.Link(netlab.Iface{Host: host, Name: "wan", Addrs: []string{"172.16.0.2/24", "fd16::2/64"}},
		netlab.Iface{Host: n.left, Name: "inner", Addrs: []string{"172.16.0.1/24", "fd16::1/64"}}, 1500),
		host.LAN("lan", "10.7.0.1/24", "fd07::1/64"), host.Route("default", "172.16.0.1", 0), host.Route("default", "fd16::1", 0),
		n.left.Route("10.7.0.0/24", "172.16.0.2", 1000), n.left.Route("fd07::/64", "fd16::2", 1280))
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("v4", "10.2.0.0/24", "10.7.0.0/24", ""), childText("v6", "fd02::/64", "fd07::/64", "")))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"),
		childText("v4", "10.7.0.0/24", "10.2.0.0/24", boot), childText("v6", "fd07::/64", "fd02::/64", boot)))
	left.waitUp("right")
	right.waitUp("left")
	for _, ends := range [][2]netip.Addr{{rightLAN4, addr("10.7.0.1")}, {rightLAN6, addr("fd07::1")}} {
		from, to := netip.AddrPortFrom(ends[0], 0), netip.AddrPortFrom(ends[1], 9)
		short := udp(t, n.right, from, to)
		hearsErrors(t, short, to.Addr().Is4(), 1)
		_, err := short.Write([]byte("one hop"))
		ok(t, err, short.SetReadDeadline(time.Now().Add(5*time.Second)))
		if _, err := short.Read(make([]byte, 1)); !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("%v: TTL 1: %v, want %v", ends, err, unix.EHOSTUNREACH)
		}
		large := udp(t, n.right, from, to)
		hearsErrors(t, large, to.Addr().Is4(), 0)
		_, err = large.Write(make([]byte, 1300))
		ok(t, err, large.SetReadDeadline(time.Now().Add(5*time.Second)))
		if _, err := large.Read(make([]byte, 1)); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("%v: 1300 octets: %v, want %v", ends, err, unix.EMSGSIZE)
		}
	}
	if got := left.status().Counters["icmp_carried"]; got != 4 {
		t.Errorf("left carried %d errors, want 4", got)
	}
}
