//go:build linux

package e2e

import (
	"context"
	enc "encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// The narrow path, whose gateways have links of 1500 octets:
//
//	[client] .2 -- 10.1.1/24 -- .1 [left] 192.0.2.1 -- .254 [near]
//	           fd01:1::/64           2001:db8::1    ::fe
//	[near] == narrow == [far]
//	[far] 198.51.100.254 -- .2 [right] .1 -- 10.2.1/24 -- .2 [server]
//	      2001:db8:b::fe    ::2          fd02:1::/64
var (
	clientLAN = map[bool]netip.Addr{false: addr("10.1.1.2"), true: addr("fd01:1::2")}
	serverLAN = map[bool]netip.Addr{false: addr("10.2.1.2"), true: addr("fd02:1::2")}
	farWAN    = map[bool]netip.Addr{false: addr("198.51.100.2"), true: addr("2001:db8:b::2")}
	nearWAN   = map[bool]netip.Addr{false: addr("192.0.2.1"), true: addr("2001:db8::1")}
)

// narrow is the network above.
type narrow struct {
	*network
	client, near, far, server *netlab.Host
}

// buildNarrow builds it with a link of an MTU in the middle. With filtered, no ICMP error reports
// it.
func buildNarrow(t *testing.T, mtu int, filtered bool) *narrow {
	t.Helper()
	_, err := exec.LookPath("nft")
	netlab.Require(t, err)
	lab := netlab.Need(t)
	n := &narrow{network: &network{lab: lab, leaks: &leakCounter{flows: inner}}}
	for name, h := range map[string]**netlab.Host{"client": &n.client, "left": &n.left, "near": &n.near, "far": &n.far, "right": &n.right, "server": &n.server} {
		*h, err = lab.Host(name)
		ok(t, err)
	}
	for _, l := range []struct {
		a, b netlab.Iface
		mtu  int
	}{
		{netlab.Iface{Host: n.client, Name: "eth", Addrs: []string{"10.1.1.2/24", "fd01:1::2/64"}},
			netlab.Iface{Host: n.left, Name: "lan2", Addrs: []string{"10.1.1.1/24", "fd01:1::1/64"}}, 1500},
		{netlab.Iface{Host: n.left, Name: "wan", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
			netlab.Iface{Host: n.near, Name: "in", Addrs: []string{"192.0.2.254/24", "2001:db8::fe/64"}}, 1500},
		{netlab.Iface{Host: n.near, Name: "out", Addrs: []string{"203.0.113.1/24", "2001:db8:c::1/64"}},
			netlab.Iface{Host: n.far, Name: "in", Addrs: []string{"203.0.113.2/24", "2001:db8:c::2/64"}}, mtu},
		{netlab.Iface{Host: n.far, Name: "out", Addrs: []string{"198.51.100.254/24", "2001:db8:b::fe/64"}},
			netlab.Iface{Host: n.right, Name: "wan", Addrs: []string{"198.51.100.2/24", "2001:db8:b::2/64"}}, 1500},
		{netlab.Iface{Host: n.right, Name: "lan2", Addrs: []string{"10.2.1.1/24", "fd02:1::1/64"}},
			netlab.Iface{Host: n.server, Name: "eth", Addrs: []string{"10.2.1.2/24", "fd02:1::2/64"}}, 1500},
	} {
		ok(t, lab.Link(l.a, l.b, l.mtu))
	}
	for h, via := range map[*netlab.Host][2]string{
		n.client: {"10.1.1.1", "fd01:1::1"}, n.left: {"192.0.2.254", "2001:db8::fe"}, n.near: {"203.0.113.2", "2001:db8:c::2"},
		n.far: {"203.0.113.1", "2001:db8:c::1"}, n.right: {"198.51.100.254", "2001:db8:b::fe"}, n.server: {"10.2.1.1", "fd02:1::1"},
	} {
		ok(t, h.Route("default", via[0], 0), h.Route("default", via[1], 0))
	}
	ok(t, n.left.LAN("lan", leftLAN4.String()+"/24", leftLAN6.String()+"/64"), n.right.LAN("lan", rightLAN4.String()+"/24", rightLAN6.String()+"/64"))
	for _, h := range []*netlab.Host{n.near, n.far} {
		if filtered {
			ok(t, h.Block("icmp type destination-unreachable"), h.Block("icmpv6 type packet-too-big"))
		}
	}
	n.leaks.watch(t, n.right, "wan")
	t.Cleanup(func() { n.leaks.wantNone(t, "at the end") })
	return n
}

// twoSites starts both gateways and waits until the tunnel is up. daemon has left's keys of
// [daemon].
func (n *narrow) twoSites(t *testing.T, v6 bool, keys, daemon string) (left, right *gateway) {
	t.Helper()
	left, right = newGateway(t, n.left), newGateway(t, n.right)
	left.daemon = daemon
	right.start(peerText("left", identities("right", "left")+keys,
		childText("v4", "10.2.0.0/16", "10.1.0.0/16", ""), childText("v6", "fd02::/16", "fd01::/16", "")))
	left.start(peerText("right", fmt.Sprintf("remote = %q\n", farWAN[v6])+identities("left", "right")+keys,
		childText("v4", "10.1.0.0/16", "10.2.0.0/16", boot), childText("v6", "fd01::/16", "fd02::/16", boot)))
	left.waitUp("right")
	right.waitUp("left")
	return left, right
}

// wantForwarded transfers octets between hosts behind the gateways, in both families and
// directions.
func (n *narrow) wantForwarded(t *testing.T, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for v6 := range clientLAN {
		_, err := netlab.Transfer(ctx, n.client, clientLAN[v6], n.server, serverLAN[v6], 1<<20)
		ok(t, err)
		_, err = netlab.Transfer(ctx, n.server, serverLAN[v6], n.client, clientLAN[v6], 1<<20)
		ok(t, err)
	}
}

// innerOf returns the largest inner packet for a path MTU, with AES-GCM.
func innerOf(path int, v6, encap bool) int {
	outer := map[bool]int{false: 20, true: 40}[v6] + map[bool]int{false: 0, true: 8}[encap]
	return (path-outer-8-8-16)&^3 - 2
}

// TestBlackHole: a narrow link in the middle of the path, and ICMP filtered. The daemon finds the
// path MTU by itself, for the gateways' own and for forwarded TCP, and status shows it.
func TestBlackHole(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, keys := range []string{protocol50, "encap = \"always\"\n"} {
			t.Run(fmt.Sprintf("v6=%t %s", v6, keys), func(t *testing.T) {
				t.Parallel()
				n := buildNarrow(t, 1400, true)
				left, right := n.twoSites(t, v6, keys, "")
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				for _, a := range [][2]netip.Addr{{leftLAN4, rightLAN4}, {leftLAN6, rightLAN6}} {
					_, err := netlab.Transfer(ctx, n.left, a[0], n.right, a[1], 1<<20)
					ok(t, err)
				}
				n.wantForwarded(t, 10*time.Second-time.Since(begun))
				want := innerOf(1400, v6, keys != protocol50)
				for g, peer := range map[*gateway]string{left: "right", right: "left"} {
					for _, c := range g.peer(peer).Children {
						if c.MTU != want {
							t.Errorf("%s at %s: MTU %d, want %d", c.Name, g.host.Name, c.MTU, want)
						}
					}
				}
				if c := left.status().Counters; c["pmtu_black_holes"] == 0 || c["pmtu_icmp"] != 0 {
					t.Errorf("black holes %d, ICMP believed %d", c["pmtu_black_holes"], c["pmtu_icmp"])
				}
			})
		}
	}
}

// TestPathNarrowsUnderTraffic: the path becomes narrow during a transfer, and ICMP is filtered.
func TestPathNarrowsUnderTraffic(t *testing.T) {
	n := buildNarrow(t, 1500, true)
	left, _ := n.twoSites(t, false, "", "")
	n.wantForwarded(t, 10*time.Second)
	left.wait(10*time.Second, "the whole MTU", "right", func(p peerStatus) bool { return p.Children[0].MTU == innerOf(1500, false, true) })
	for h, name := range map[*netlab.Host]string{n.near: "out", n.far: "in"} {
		link, err := h.Netlink().LinkByName(name)
		ok(t, err, h.Netlink().LinkSetMTU(link, 1360))
	}
	n.wantForwarded(t, 15*time.Second)
	left.wait(10*time.Second, "the smaller MTU", "right", func(p peerStatus) bool {
		return p.Children[0].MTU == innerOf(1360, false, true) && p.Children[1].MTU == innerOf(1360, false, true)
	})
}

// TestMTUIsACeiling: mtu bounds the packets of the gateway's own and forwarded TCP, and the MTU in
// status.
func TestMTUIsACeiling(t *testing.T) {
	n := buildNarrow(t, 1400, true)
	left, _ := n.twoSites(t, false, "", "mtu = 1300")
	n.wantForwarded(t, 10*time.Second)
	if m := left.child("right", "v4").MTU; m != 1300 {
		t.Errorf("MTU %d, want the configured 1300", m)
	}
	link, err := n.left.Netlink().LinkByName("culvert0")
	ok(t, err)
	if link.Attrs().MTU != 1300 {
		t.Errorf("the device's MTU is %d, want 1300", link.Attrs().MTU)
	}
}

// TestForgedTooBig: an ICMP error that quotes no live SPI is counted and changes nothing, whatever
// its source; one of a router that quotes a live SPI is believed.
func TestForgedTooBig(t *testing.T) {
	for _, keys := range []string{protocol50, "encap = \"always\"\n"} {
		t.Run(keys, func(t *testing.T) {
			for _, v6 := range []bool{false, true} {
				n := buildNarrow(t, 1500, false)
				left, _ := n.twoSites(t, v6, keys, "")
				full := innerOf(1500, v6, keys != protocol50)
				left.wait(10*time.Second, "the whole MTU", "right", func(p peerStatus) bool { return p.Children[0].MTU == full })
				forge := func(spi uint32, mtu int) { n.forge(t, v6, spi, mtu) }
				forge(0x12345678, 576)
				forge(0, 1300)
				left.waitCounter("pmtu_icmp_ignored", 4)
				if m := left.child("right", "v4").MTU; m != full {
					t.Errorf("v6=%t: MTU %d after forged ICMP, want %d", v6, m, full)
				}
				var live uint32
				_, err := fmt.Sscanf(left.child("right", "v4").SPIOut, "%x", &live)
				ok(t, err)
				forge(live, 500) // below the floor, and for IPv6 below any link's MTU
				left.waitCounter("pmtu_icmp_ignored", 6)
				forge(live, 1300)
				left.waitCounter("pmtu_icmp", 1)
				if m := left.child("right", "v4").MTU; m != innerOf(1300, v6, keys != protocol50) {
					t.Errorf("v6=%t: MTU %d after a live SPI was quoted, want %d", v6, m, innerOf(1300, v6, keys != protocol50))
				}
			}
		})
	}
}

// forge sends left two ICMP errors from a router, about a packet of protocol 50 and one of UDP port
// 4500 to right that were too big.
func (n *narrow) forge(t *testing.T, v6 bool, spi uint32, mtu int) {
	t.Helper()
	network := map[bool]string{false: "ip4:1", true: "ip6:58"}[v6]
	var c net.PacketConn
	ok(t, n.near.Do(func() (err error) { c, err = net.ListenPacket(network, ""); return err }))
	defer c.Close()
	esp := enc.BigEndian.AppendUint32(nil, spi)
	esp = append(esp, 0, 0, 0, 1)
	udp := append([]byte{0x11, 0x94, 0x11, 0x94, 5, 0, 0, 0}, esp...)
	for proto, upper := range map[byte][]byte{50: esp, 17: udp} {
		msg := tooBigMessage(v6, mtu, proto, upper)
		_, err := c.WriteTo(msg, &net.IPAddr{IP: nearWAN[v6].AsSlice()})
		ok(t, err)
	}
}

// tooBigMessage returns an ICMP message that quotes a packet from left to right.
func tooBigMessage(v6 bool, mtu int, proto byte, upper []byte) []byte {
	src, dst := nearWAN[v6].AsSlice(), farWAN[v6].AsSlice()
	if v6 { // the kernel computes the checksum
		b := enc.BigEndian.AppendUint32([]byte{2, 0, 0, 0}, uint32(mtu))
		b = append(b, 0x60, 0, 0, 0, 5, 0xdc-40, proto, 64)
		return append(append(append(b, src...), dst...), upper...)
	}
	b := enc.BigEndian.AppendUint16([]byte{3, 4, 0, 0, 0, 0}, uint16(mtu))
	b = append(b, 0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, proto, 0, 0)
	b = append(append(append(b, src...), dst...), upper...)
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(enc.BigEndian.Uint16(b[i:]))
	}
	sum = sum&0xffff + sum>>16
	enc.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16))
	return b
}

// waitCounter waits until a counter is at least n.
func (g *gateway) waitCounter(name string, n uint64) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	ok(g.t, netlab.Until(ctx, fmt.Sprintf("%s to be %d at %s", name, n, g.host.Name), func() bool { return g.status().Counters[name] >= n }))
}
