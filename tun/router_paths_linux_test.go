package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"culvert/internal/ipheader"
	"culvert/internal/netlab"
	"culvert/tun/gso"
	"culvert/tun/protect"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Two policies with local and remote networks swapped: exempt prefixes of one are not exempt for
// the other.
func TestCrossedNetworks(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	r.mustBecome(
		protect.Policy{Local: prefixes("192.168.7.0/24", "172.16.0.0/12", "2001:db8:7::/48"), Remote: prefixes("10.2.0.0/16", "2001:db8:200::/40")},
		protect.Policy{Local: prefixes("10.2.5.0/24", "2001:db8:205::/48"), Remote: prefixes("172.16.0.0/12", "2001:db8:7::/48")},
	)
	checkRoutes(t, h, []routeCase{
		{"a's to d's local network", lookup{to: "10.2.5.9", from: "192.168.7.1", iif: "tlan"}, "tn0", ""},
		{"what came from d", lookup{to: "10.2.5.9", from: "172.16.0.1", iif: "tlan"}, "tn0", ""},
		{"d's to a's local network", lookup{to: "172.16.0.1", from: "10.2.5.9", iif: "tlan"}, "tn0", ""},
		{"IPv6, a's", lookup{to: "2001:db8:205::9", from: "2001:db8:7::1", iif: "tlan"}, "tn0", ""},
		{"IPv6, d's", lookup{to: "2001:db8:7::1", from: "2001:db8:205::9", iif: "tlan"}, "tn0", ""},
		{"d's own network", lookup{to: "10.2.5.8", from: "10.2.5.9", iif: "tlan"}, "tout", ""},
	})
}

// A full tunnel of one local network does not take traffic of a larger local network to elsewhere.
func TestFullTunnelForSome(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	lan := policy("10.2.0.0/24", "10.1.0.0/24")
	r.mustBecome(lan)
	for _, added := range []bool{false, true} {
		if added {
			r.mustBecome(lan, policy("0.0.0.0/0", "10.1.5.0/24"))
		}
		checkRoutes(t, h, []routeCase{
			{"the LAN to the Internet", lookup{to: "198.51.100.1", from: "10.1.0.50", iif: "tlan"}, "tout", ""},
			{"the LAN to the remote network", lookup{to: "10.2.0.9", from: "10.1.0.50", iif: "tlan"}, "tn0", ""},
			{"ourselves to the Internet", lookup{to: "198.51.100.1"}, "tout", "192.0.2.1"},
		})
	}
	checkRoutes(t, h, []routeCase{{"those with the tunnel", lookup{to: "198.51.100.1", from: "10.1.5.50", iif: "tlan"}, "tn0", ""}})
}

// kernelCounter reads a counter of a host from /proc/net.
func kernelCounter(t *testing.T, h *netlab.Host, file, group, name string) (n int) {
	t.Helper()
	var b []byte
	if err := h.Do(func() (err error) { b, err = os.ReadFile("/proc/thread-self/net/" + file); return err }); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == name:
			_, _ = fmt.Sscan(f[1], &n)
			return n
		case f[0] == group+":" && names == nil:
			names = f
		case f[0] == group+":":
			for i := range names {
				if names[i] == name {
					_, _ = fmt.Sscan(f[i], &n)
					return n
				}
			}
		}
	}
	t.Fatalf("no counter %s %s in %s", group, name, file)
	return 0
}

// A hub without an address in its spokes' networks forwards between them over the same device. The
// kernel does not send a redirect to the sender, which would quote the packet in the clear.
func TestNoRedirects(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	r.mustBecome(policy("10.2.0.0/24", "10.3.0.0/24"), policy("10.3.0.0/24", "10.2.0.0/24"),
		policy("2001:db8:2::/64", "2001:db8:3::/64"), policy("2001:db8:3::/64", "2001:db8:2::/64"))
	link, err := h.Netlink().LinkByName("tn0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := netlink.ParseAddr("fe80::99/64") // IPv6 sends redirects only with a link-local address
	for _, err := range []error{
		h.Sysctl("ipv4/conf/all/send_redirects", "1"), h.Sysctl("ipv4/conf/tn0/send_redirects", "1"), h.Netlink().AddrAdd(link, addr),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	q := d.Queues()[0]
	for _, c := range []struct{ src, dst string }{{"10.2.0.5", "10.3.0.5"}, {"2001:db8:2::5", "2001:db8:3::5"}} {
		pkt := udpPacket(netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst), 600)
		for range 3 {
			if err := q.Write(&gso.Packet{}, [][]byte{pkt}); err != nil {
				t.Fatal(err)
			}
			want := pkt[len(pkt)-600:]
			eventually(t, "the hub forwards from "+c.src, func() bool {
				var p gso.Packet
				for q.Read(make([]byte, gso.MaxPacket+64), 64, &p) == nil {
					if bytes.HasSuffix(p.Data, want) {
						return true
					}
				}
				return false
			})
		}
	}
	if n := kernelCounter(t, h, "snmp", "Icmp", "OutRedirects"); n != 0 {
		t.Errorf("%d redirects were sent", n)
	}
	if n := kernelCounter(t, h, "snmp6", "", "Icmp6OutRedirects"); n != 0 {
		t.Errorf("%d IPv6 redirects were sent", n)
	}
}

// udpPacket returns a UDP datagram with a payload of some octets.
func udpPacket(src, dst netip.Addr, payload int) []byte {
	udp := make([]byte, 8+payload)
	binary.BigEndian.PutUint16(udp, 1000)
	binary.BigEndian.PutUint16(udp[2:], 1000)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	if src.Is4() {
		b := make([]byte, 20, 20+len(udp)) // IPv4 needs no UDP checksum
		b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(udp)))
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^ipheader.Sum(0, b))
		return append(b, udp...)
	}
	b := make([]byte, 40, 40+len(udp))
	b[0], b[6], b[7] = 0x60, unix.IPPROTO_UDP, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(udp)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, udp...)
}

// newPeers returns this host, with the outer address 192.0.2.1, and a peer, 192.0.2.2, with the
// strict reverse path filter.
func newPeers(t *testing.T) (h, peer *netlab.Host) {
	t.Helper()
	lab := netlab.Need(t)
	for _, p := range []**netlab.Host{&h, &peer} {
		var err error
		if *p, err = lab.Host("tn"); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		h.Sysctl("ipv4/conf/all/rp_filter", "1"), h.Sysctl("ipv4/conf/default/rp_filter", "1"), h.LAN("tlan", "10.1.0.1/16"),
		lab.Link(netlab.Iface{Host: h, Name: "tout", Addrs: []string{"192.0.2.1/24"}}, netlab.Iface{Host: peer, Name: "tout", Addrs: []string{"192.0.2.2/24"}}, 1500),
		h.Route("default", "192.0.2.2", 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return h, peer
}

// socketIn opens a socket with a mark in a host.
func socketIn(t *testing.T, h *netlab.Host, network, address string, mark uint32) net.PacketConn {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		return errors.Join(rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }), err)
	}}
	var c net.PacketConn
	if err := h.Do(func() (err error) { c, err = lc.ListenPacket(t.Context(), network, address); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// If a remote network contains the peer and a local one our outer address, the tunnel's inbound
// packets pass the strict reverse path filter without a mark, and its outbound packets go to the
// peer.
func TestReversePathFilter(t *testing.T) {
	for name, p := range map[string]protect.Policy{
		"host to host":                policy("192.0.2.2/32", "192.0.2.1/32"),
		"host to everything":          policy("0.0.0.0/0", "192.0.2.1/32"),
		"gateway, its address in too": policy("192.0.2.0/24", "10.1.0.0/16", "192.0.2.1/32"),
		"local is everything":         policy("192.0.2.0/24", "0.0.0.0/0"),
	} {
		t.Run(name, func(t *testing.T) {
			h, peer := newPeers(t)
			d := openIn(t, h, Config{Name: "tn0"})
			r := routerIn(t, h, RouteConfig{Device: d, Ports: []uint16{500, 4500}})
			r.mustBecome(p)
			for _, c := range []struct{ network, here, there string }{
				{"udp4", "192.0.2.1:500", "192.0.2.2:500"},
				{"udp4", "192.0.2.1:4500", "192.0.2.2:4500"},
				{"udp4", "192.0.2.1:4500", "192.0.2.2:61234"}, // behind a NAT
				{"ip4:50", "192.0.2.1", "192.0.2.2"},
			} {
				ours, theirs := socketIn(t, h, c.network, c.here, testMark.Value), socketIn(t, peer, c.network, c.there, 0)
				for _, way := range []struct{ from, to net.PacketConn }{{theirs, ours}, {ours, theirs}} {
					if _, err := way.from.WriteTo([]byte("0123456789abcdef"), way.to.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					_ = way.to.SetReadDeadline(time.Now().Add(3 * time.Second))
					if n, _, err := way.to.ReadFrom(make([]byte, 100)); err != nil || n < 16 {
						t.Errorf("%s from %v to %v: %d octets, %v", c.network, way.from.LocalAddr(), way.to.LocalAddr(), n, err)
					}
				}
				ours.Close()
				theirs.Close()
			}
			// The filter drops all other packets from a protected network outside of the tunnel.
			stray := socketIn(t, peer, "udp4", "192.0.2.2:9999", 0)
			if _, err := stray.WriteTo([]byte("stray"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:9999"))); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the filter drops", func() bool { return kernelCounter(t, h, "netstat", "TcpExt", "IPReversePathFilter") > 0 })
		})
	}
}

// With IPv6 switched off IPv4 works, and one warning names the sysctl. IPv6 follows when it is
// switched on.
func TestIPv6SwitchedOff(t *testing.T) {
	h, _ := newGateway(t)
	if err := h.Sysctl("ipv6/conf/all/disable_ipv6", "1"); err != nil {
		t.Fatal(err)
	}
	d := openIn(t, h, Config{Name: "tn1"})
	if err := h.Sysctl("ipv6/conf/tn1/disable_ipv6", "1"); err != nil {
		t.Fatal(err)
	}
	for _, fence := range []bool{false, true} {
		var log logged
		r := routerIn(t, h, RouteConfig{Device: d, Fence: fence, Log: log.logger()})
		err := r.become(policy("10.2.0.0/16", "10.1.0.0/16"), policy("2001:db8:2::/64", "2001:db8:1::/64"))
		var part *Incomplete
		if !errors.As(err, &part) || !strings.Contains(err.Error(), "net.ipv6.conf.all.disable_ipv6=0") {
			t.Fatalf("got %v, want an error that names the sysctl", err)
		}
		checkRoutes(t, h, []routeCase{{"IPv4", lookup{to: "10.2.0.9", from: "10.1.0.50", iif: "tlan"}, "tn1", ""}})
		r.mu.Lock() // try again, as often as this happens
		for range 3 {
			r.logIncomplete(r.compare(false), time.Now())
		}
		r.mu.Unlock()
		if strings.Contains(log.String(), "not complete") {
			t.Errorf("the caller's warning was repeated:\n%s", &log)
		}
		if fence {
			for _, s := range []string{"all", "tn1", "lo"} {
				if err := h.Sysctl("ipv6/conf/"+s+"/disable_ipv6", "0"); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "IPv6 follows", func() bool {
				dev, _, _ := route(t, h, lookup{to: "2001:db8:2::9", from: "2001:db8:1::1"})
				return dev == "tn1"
			})
			eventually(t, "that is logged", func() bool { return strings.Contains(log.String(), "complete again") })
		}
		if err := r.Close(false); err != nil {
			t.Error(err)
		}
	}
}
