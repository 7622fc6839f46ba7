//go:build linux

package e2e

import (
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// transportMode returns a child in transport mode, with more keys.
func transportMode(more string) string {
	return "  [[peer.child]]\n  name = \"hosts\"\n  mode = \"transport\"\n  esn = \"never\"\n" + more + "\n"
}

// A transportCase has two gateways that protect the packets between themselves.
type transportCase struct {
	name        string
	keys        string
	top         topology
	left, right string // left's address as left has it, and right's
	seen        string // left's address as right sees it
	mtu         int    // of a packet with its IP header
	plain       bool   // no offloads: a frame in UDP is a packet, which Wireshark can read
}

// oneSA has no SAs for single workers, whose probes of other source ports the search for leaks
// could not tell from traffic.
const oneSA = "per_cpu = \"never\"\n"

// TestTransport has two gateways in transport mode: packets of all sizes and TCP, in both
// directions, across rekeyings by either side. Wireshark reads what was on the link, by the keys:
// an IP header, ESP, and the packet's own TCP or ICMP in it, and no other IP header.
func TestTransport(t *testing.T) {
	t.Parallel()
	for _, tt := range []transportCase{
		{name: "protocol 50 over IPv4", keys: protocol50, left: "192.0.2.1", right: "192.0.2.2", mtu: 1466},
		{name: "protocol 50 over IPv6", keys: protocol50, left: "2001:db8::1", right: "2001:db8::2", mtu: 1466},
		{name: "UDP over IPv4", keys: "encap = \"always\"\n", left: "192.0.2.1", right: "192.0.2.2", mtu: 1458},
		{name: "NAT over IPv4", keys: oneSA, top: topology{nat: true}, left: "10.98.0.2", seen: "192.0.2.1", right: "192.0.2.2", mtu: 1458, plain: true},
		{name: "NAT over IPv6", keys: oneSA, top: topology{nat: true}, left: "fd98::2", seen: "2001:db8::1", right: "2001:db8::2", mtu: 1458},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.seen == "" {
				tt.seen = tt.left
			}
			tt.run(t)
		})
	}
}

func (tt *transportCase) run(t *testing.T) {
	_, err := exec.LookPath("tshark")
	netlab.Require(t, err)
	host := func(a string) string { return netip.PrefixFrom(addr(a), addr(a).BitLen()).String() }
	tt.top.flows = []flow{outerFlow(host(tt.left), host(tt.right)), outerFlow(host(tt.seen), host(tt.right))}
	for i := range tt.top.flows {
		tt.top.flows[i].fragments = tt.keys != protocol50
	}
	n := build(t, tt.top)
	c := n.capture(t, n.right, "wan")
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	keys := filepath.Join(left.dir, "keys")
	if tt.plain {
		right.daemon = "offloads = \"none\"\n"
	}
	left.daemon = right.daemon + "key_log = \"" + keys + "\"\n"
	right.start(peerText("left", "local = \""+tt.right+"\"\n"+identities("right", "left")+tt.keys, transportMode("  remote = [\""+tt.seen+"\"]")))
	left.start(peerText("right", "local = \""+tt.left+"\"\nremote = \""+tt.right+"\"\n"+identities("left", "right")+tt.keys, transportMode(boot)))
	left.waitUp("right")
	right.waitUp("left")
	tt.wantPings(t, n)
	tt.wantTransfer(t, n)
	for _, by := range []struct {
		g    *gateway
		what string
	}{{left, "right/hosts"}, {right, "left/hosts"}} {
		by.g.do("rekey", by.what)
		tt.wantPings(t, n)
	}
	left.do("rekey", "right")
	tt.wantPings(t, n)
	for _, s := range []childStatus{left.child("right", "hosts"), right.child("left", "hosts")} {
		if s.Mode != "transport" || s.Rekeys < 2 || s.MTU != tt.mtu || s.PacketsIn == 0 || s.PacketsOut == 0 {
			t.Errorf("the child is %+v", s)
		}
	}
	for _, g := range []*gateway{left, right} {
		if text := g.do("status", "-v"); !strings.Contains(text, "transport mode") {
			t.Errorf("status does not show the mode:\n%s", text)
		}
	}
	left.stop()
	c.stop()
	if tt.plain || tt.keys == protocol50 {
		tt.wantFormat(t, c, keys)
	}
}

// wantPings checks pings of several sizes in both directions: small ones, and some that the hosts
// fragment.
func (tt *transportCase) wantPings(t *testing.T, n *network) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := n.left.PingUntil(ctx, addr(tt.left), addr(tt.right), 500*time.Millisecond)
	ok(t, err)
	for _, size := range []int{0, 1, 1400, 3000, 20000} {
		_, err := n.left.Ping(ctx, addr(tt.left), addr(tt.right), size)
		ok(t, err)
		_, err = n.right.Ping(ctx, addr(tt.right), addr(tt.seen), size)
		ok(t, err)
	}
}

// wantTransfer checks a TCP transfer with a checksum in each direction.
func (tt *transportCase) wantTransfer(t *testing.T, n *network) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const octets = 1 << 20
	if tt.seen == tt.left {
		_, err := netlab.Transfer(ctx, n.right, addr(tt.right), n.left, addr(tt.left), octets)
		ok(t, err)
	}
	_, err := netlab.Transfer(ctx, n.left, addr(tt.left), n.right, addr(tt.right), octets)
	ok(t, err)
}

// wantFormat checks the packets on the link.
func (tt *transportCase) wantFormat(t *testing.T, c *capture, keys string) {
	t.Helper()
	icmp := map[bool]string{false: "0x01", true: "0x3a"}[addr(tt.right).Is6()]
	protocols := map[string]int{}
	for _, p := range c.decrypt(t, keys, "esp", "esp.icv_good", "esp.protocol", "ip.src", "ipv6.src", "frame.number") {
		if p[0] != "1" && p[0] != "True" || strings.Contains(p[2]+p[3], ",") {
			t.Errorf("frame %s: ICV %s, next header %s, IP headers from %s%s", p[4], p[0], p[1], p[2], p[3])
		}
		protocols[p[1]]++
	}
	t.Logf("packets by next header: %v", protocols)
	if protocols["0x06"] < 100 || protocols[icmp] < 20 {
		t.Errorf("by next header there were %v packets", protocols)
	}
	delete(protocols, "0x06")
	delete(protocols, icmp)
	delete(protocols, "") // the probes of the path's MTU, without a packet (RFC 4303, Section 2.6)
	if len(protocols) > 0 {
		t.Errorf("there were other packets by next header: %v", protocols)
	}
}
