//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"culvert/internal/netlab"
)

// A flow is the packets between two networks, in either direction, that a policy protects.
type flow struct {
	a, b netip.Prefix
	// outer includes the gateways' own outer addresses; ESP, IKE and neighbour discovery between
	// the two are then the tunnel's own.
	outer bool
	// fragments says that later fragments of UDP, which show no ports, are the tunnel's own as
	// well: the test itself sends no UDP.
	fragments bool
}

func flowOf(a, b string) flow { return flow{a: netip.MustParsePrefix(a), b: netip.MustParsePrefix(b)} }

// inner is every packet with an address of the sites' inner networks at either end.
var inner = []flow{
	flowOf("10.1.0.0/16", "0.0.0.0/0"), flowOf("10.2.0.0/16", "0.0.0.0/0"),
	flowOf("fd01::/16", "::/0"), flowOf("fd02::/16", "::/0"),
}

// holds reports whether the packet is of the flow and not the tunnel's own.
func (f flow) holds(p *netlab.Packet) bool {
	if !f.between(p.Src, p.Dst) && !f.between(p.Dst, p.Src) {
		return false
	}
	later := f.fragments && p.Protocol == 17 && p.SrcPort == 0 && p.DstPort == 0
	return !f.outer || !later && !isTunnels(p)
}

// between reports whether two addresses are at the ends of the flow. An unknown address is at any
// end.
func (f flow) between(a, b netip.Addr) bool {
	return (f.a.Contains(a) || !a.IsValid()) && (f.b.Contains(b) || !b.IsValid())
}

// isTunnels reports whether a packet between two gateways belongs to the tunnel, or is an error
// about it.
func isTunnels(p *netlab.Packet) bool {
	const udp, esp, icmpv6, ike, nat, solicit, redirect = 17, 50, 58, 500, 4500, 133, 137
	port := func(n uint16) bool { return n == ike || n == nat }
	switch {
	case p.Protocol == esp, p.Protocol == udp && (port(p.SrcPort) || port(p.DstPort)):
		return true
	case p.Protocol == icmpv6 && p.ICMPType >= solicit && p.ICMPType < redirect:
		return true
	}
	return p.Quoted != nil && isTunnels(p.Quoted)
}

// leakCounter counts packets of protected flows that are seen outside in the clear, and packets
// that quote one. The sites have routes to each other: without these a missing tunnel would go
// unnoticed.
type leakCounter struct {
	esp atomic.Uint64 // packets of protocol 50

	sniffers []*netlab.Sniffer
	mu       sync.Mutex
	flows    []flow
	ignored  []string // MAC addresses of attackers, whose packets do not count
	count    uint64
	first    string
}

// watch counts on a link, at the far side from the host under test.
func (c *leakCounter) watch(t *testing.T, h *netlab.Host, dev string) {
	t.Helper()
	const headers = 512 // includes a quoted packet, and more extension headers than usual
	s, err := h.SniffHeaders(dev, headers, c.frame)
	ok(t, err)
	c.sniffers = append(c.sniffers, s)
}

func (c *leakCounter) frame(frame []byte) {
	p, ok := netlab.ParseFrame(frame)
	if !ok {
		return
	}
	if p.Protocol == 50 {
		c.esp.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.protects(&p) || slices.Contains(c.ignored, string(frame[6:12])) {
		return
	}
	if c.count++; c.count == 1 {
		c.first = describe(&p)
	}
}

func (c *leakCounter) protects(p *netlab.Packet) bool {
	for _, f := range c.flows {
		if f.holds(p) || p.Quoted != nil && f.holds(p.Quoted) {
			return true
		}
	}
	return false
}

func describe(p *netlab.Packet) string {
	s := fmt.Sprintf("%s -> %s protocol %d ports %d, %d", p.Src, p.Dst, p.Protocol, p.SrcPort, p.DstPort)
	if p.Quoted != nil {
		s += fmt.Sprintf(" type %d that quotes %s", p.ICMPType, describe(p.Quoted))
	}
	return s
}

// take returns the number of packets since the last call, and the first of them.
func (c *leakCounter) take(t *testing.T) (count uint64, first string) {
	t.Helper()
	for _, s := range c.sniffers {
		if lost := s.Sync(); lost > 0 {
			t.Logf("%d frames could not be looked at", lost)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	count, first = c.count, c.first
	c.count, c.first = 0, ""
	return count, first
}

// wantNone fails the test after a packet since the last take.
func (c *leakCounter) wantNone(t *testing.T, what string) {
	t.Helper()
	if n, first := c.take(t); n > 0 {
		t.Errorf("%s: %d packets that a policy protects were seen outside in the clear, the first %s", what, n, first)
	}
}

// ignore excludes a sender: plaintext that the test itself puts on the link.
func (c *leakCounter) ignore(sender net.HardwareAddr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ignored = append(c.ignored, string(sender))
}

// TestLeaksAreCounted sends, without a daemon, packets that no other test may see outside.
func TestLeaksAreCounted(t *testing.T) {
	n := build(t, topology{})
	for _, tt := range []struct {
		name     string
		from, to netip.Addr
		want     uint64
		first    string
	}{
		{"IPv4", leftLAN4, rightLAN4, 2, "10.1.0.1 -> 10.2.0.1 protocol 1 "},
		{"IPv6", leftLAN6, rightLAN6, 2, "fd01::1 -> fd02::1 protocol 58 "},
		{"a protected source", leftLAN4, addr("192.0.2.2"), 2, "10.1.0.1 -> 192.0.2.2 protocol 1 "},
		{"outside of it", addr("192.0.2.1"), addr("192.0.2.2"), 0, ""},
		{"IPv6 outside of it", addr("2001:db8::1"), addr("2001:db8::2"), 0, ""},
	} {
		_, err := n.left.Ping(t.Context(), tt.from, tt.to, 56)
		ok(t, err)
		if got, first := n.leaks.take(t); got != tt.want || !strings.HasPrefix(first, tt.first) {
			t.Errorf("%s: %d leaks, the first %q, want %d, %q", tt.name, got, first, tt.want, tt.first)
		}
	}
}

func TestFlowsAndTheTunnelsOwn(t *testing.T) {
	hosts := flowOf("192.0.2.1/32", "192.0.2.2/32")
	hosts.outer = true
	hosts6 := flowOf("2001:db8::1/128", "2001:db8::2/128")
	hosts6.outer = true
	pkt := func(src, dst string, protocol uint8, sport, dport uint16, kind uint8, quoted ...netlab.Packet) netlab.Packet {
		p := netlab.Packet{Src: addr(src), Dst: addr(dst), Protocol: protocol, SrcPort: sport, DstPort: dport, ICMPType: kind}
		if len(quoted) > 0 {
			p.Quoted = &quoted[0]
		}
		return p
	}
	for _, tt := range []struct {
		name string
		p    netlab.Packet
		want bool
	}{
		{"inner there", pkt("10.1.0.1", "203.0.113.1", 6, 1, 2, 0), true},
		{"inner back", pkt("203.0.113.1", "10.1.0.1", 6, 1, 2, 0), true},
		{"inner ESP", pkt("10.1.0.1", "203.0.113.1", 50, 0, 0, 0), true},
		{"inner IKE", pkt("10.1.0.1", "203.0.113.1", 17, 500, 500, 0), true},
		{"quoted", pkt("198.51.100.1", "203.0.113.1", 1, 0, 0, 11, pkt("10.1.0.1", "10.2.0.1", 6, 1, 2, 0)), true},
		{"destination of a redirect", pkt("2001:db8::1", "2001:db8::3", 58, 0, 0, 137, netlab.Packet{Dst: addr("fd02::1")}), true},
		{"no flow", pkt("198.51.100.1", "203.0.113.1", 6, 1, 2, 0), false},
		{"hosts there", pkt("192.0.2.1", "192.0.2.2", 6, 1, 2, 0), true},
		{"hosts back", pkt("192.0.2.2", "192.0.2.1", 6, 1, 2, 0), true},
		{"one host and another", pkt("192.0.2.1", "192.0.2.3", 6, 1, 2, 0), false},
		{"hosts' ESP", pkt("192.0.2.1", "192.0.2.2", 50, 0, 0, 0), false},
		{"hosts' IKE", pkt("192.0.2.2", "192.0.2.1", 17, 500, 1024, 0), false},
		{"hosts' ESP in UDP", pkt("192.0.2.2", "192.0.2.1", 17, 1024, 4500, 0), false},
		{"hosts' TCP on the port", pkt("192.0.2.2", "192.0.2.1", 6, 4500, 500, 0), true},
		{"an error about the hosts' ESP", pkt("192.0.2.2", "192.0.2.1", 1, 0, 0, 3, pkt("192.0.2.1", "192.0.2.2", 50, 0, 0, 0)), false},
		{"an error about the hosts' TCP", pkt("192.0.2.2", "192.0.2.1", 1, 0, 0, 3, pkt("192.0.2.1", "192.0.2.2", 6, 1, 2, 0)), true},
		{"neighbour solicitation", pkt("2001:db8::2", "2001:db8::1", 58, 0, 0, 135), false},
		{"redirect", pkt("2001:db8::2", "2001:db8::1", 58, 0, 0, 137), true},
		{"echo", pkt("2001:db8::2", "2001:db8::1", 58, 0, 0, 129), true},
	} {
		c := leakCounter{flows: append(slices.Clone(inner), hosts, hosts6)}
		if got := c.protects(&tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
