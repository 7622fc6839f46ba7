package dataplane

import (
	"bytes"
	"net/netip"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/internal/packettest"
	"culvert/tun/gso"
)

func TestMTUEdge(t *testing.T) {
	pad := func(total, headers int) []byte { return make([]byte, total-headers) }
	a, b, _ := tunnel(t, 1)
	st, _ := a.ChildStats(1)
	if st.MTU != 1438 { // 1500 - 20 - 8 - 16 - 16 is 1440: two more for the trailer
		t.Fatalf("inner MTU %d", st.MTU)
	}
	var outer int
	a.ports[0].wiretap(func(o *netio.Outgoing) { outer = max(outer, len(o.Data)+28) })
	for _, pkt := range [][]byte{
		udpPacket(src4, dst4, true, pad(1438, 28)), udpPacket(src6, dst6, true, pad(1438, 48)), udpPacket(src4, dst4, false, pad(1438, 28)),
	} {
		a.queues[0].inject(pkt)
		if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
			t.Error("a packet of exactly the MTU did not come through as it was")
		}
	}
	if outer > 1500 || outer < 1497 {
		t.Errorf("the largest outer packet has %d octets", outer)
	}
	over4, over6 := udpPacket(src4, dst4, true, pad(1439, 28)), udpPacket(src6, dst6, true, pad(1439, 48))
	a.queues[0].inject(over4)
	if typ, code, mtu := checkICMP(t, a.queues[0].want(t), over4); typ != 3 || code != 4 || mtu != 1438 {
		t.Errorf("IPv4: type %d code %d MTU %d", typ, code, mtu)
	}
	a.queues[0].inject(over6)
	if typ, code, mtu := checkICMP(t, a.queues[0].want(t), over6); typ != 2 || code != 0 || mtu != 1438 {
		t.Errorf("IPv6: type %d code %d MTU %d", typ, code, mtu)
	}
	b.queues[0].wantIdle(t)
	whole := udpPacket(src4, dst4, false, random(1439-28))
	a.queues[0].inject(whole)
	data, more := packettest.Reassemble(t, [][]byte{b.queues[0].want(t), b.queues[0].want(t)})
	if !bytes.Equal(data, whole[20:]) || more {
		t.Error("the fragments are not the packet")
	}
	st, _ = a.ChildStats(1)
	if st.Drops["too_big"] != 2 || a.Counters()["out_too_big"] != 2 || a.Counters()["icmp_sent"] != 2 {
		t.Errorf("too_big %d, plane %v", st.Drops["too_big"], a.Counters())
	}
}

func TestIPv6OverANarrowPath(t *testing.T) {
	a, b := twoGateways(t, 1, func(c *Config) { c.LinkMTU = func(_, _ netip.Addr) int { return 1280 } })
	install(t, a, b, childSA(t, a, b, 1))
	fragment := make(chan bool, 100)
	a.ports[0].wiretap(func(o *netio.Outgoing) { fragment <- o.Fragment })
	pkt := udpPacket(src6, dst6, true, make([]byte, 1280-48))
	a.queues[0].inject(pkt) // RFC 8200, Section 5: 1280 octets must pass, if need be in outer fragments
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Error("1280 octets of IPv6 did not pass")
	}
	payload := random(2440)
	a.queues[0].in.put(nil, superPacket(src6, dst6, 7, payload, 1220))
	segmentsAt(t, b.queues[0], 7, payload, 1220)
	small := udpPacket(src4, dst4, true, nil) // IPv4 fits, or is fragmented before it is sealed
	a.queues[0].inject(small)
	b.queues[0].want(t)
	for i, want := range []bool{true, true, false} {
		if <-fragment != want {
			t.Errorf("send %d: may be fragmented: %t, want %t", i, !want, want)
		}
	}
	over := udpPacket(src6, dst6, true, make([]byte, 1281-48))
	a.queues[0].inject(over)
	if _, _, mtu := checkICMP(t, a.queues[0].want(t), over); mtu != 1280 {
		t.Errorf("MTU %d in the Packet Too Big", mtu)
	}
}

func TestNoPolicy(t *testing.T) {
	a, _, _ := tunnel(t, 1)
	elsewhere := udpPacket(src4, netip.MustParseAddrPort("10.99.0.1:53"), true, []byte("q"))
	a.queues[0].inject(elsewhere)
	if typ, code, _ := checkICMP(t, a.queues[0].want(t), elsewhere); typ != 3 || code != 13 {
		t.Errorf("type %d code %d", typ, code)
	}
	spoofed := udpPacket(netip.MustParseAddrPort("[2001:db8:9::1]:5"), dst6, true, []byte("q"))
	a.queues[0].inject(spoofed)
	if typ, code, _ := checkICMP(t, a.queues[0].want(t), spoofed); typ != 1 || code != 1 {
		t.Errorf("type %d code %d", typ, code)
	}
	a.wantCounter(t, "out_no_policy", 2)
	if n := a.ports[0].peer.in.len(); n != 0 {
		t.Errorf("%d datagrams were sent", n)
	}
}

func TestPartialChecksumIsCompleted(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	p := superPacket(src6, dst6, 1, []byte("GET /"), 1000)
	p.GSO, p.SegSize, p.HdrLen = gso.None, 0, 0
	a.queues[0].in.put(nil, p)
	checkSums(t, b.queues[0].want(t))
}

// TestHugePath is one whose MTU is the largest: one segment may be more than a UDP_SEGMENT send
// takes.
func TestHugePath(t *testing.T) {
	a, b := twoGateways(t, 1, func(c *Config) { c.LinkMTU = func(_, _ netip.Addr) int { return 65536 } })
	sa := childSA(t, a, b, 1)
	sa.Path = ipsec.RawPath(outerA.Addr(), outerB.Addr())
	install(t, a, b, sa)
	st, _ := a.ChildStats(1)
	a.ports[0].wiretap(func(o *netio.Outgoing) {
		if len(o.Data) == 0 || len(o.Data) > maxDatagram-20 {
			t.Errorf("a send of %d octets", len(o.Data))
		}
	})
	for i, n := range []int{st.MTU - 40, maxDatagram - 40} {
		payload := random(n)
		a.queues[0].in.put(nil, superPacket(src4, dst4, uint32(i), payload, st.MTU-40))
		segmentsAt(t, b.queues[0], uint32(i), payload, st.MTU-40)
	}
}
