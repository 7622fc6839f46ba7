package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// icmpAbout is an ICMP error from src about the first octets of pkt, to whoever sent it. kind is
// type and code, of the packet's family.
func icmpAbout(src netip.Addr, kind uint16, pkt []byte, octets int) []byte {
	body := binary.BigEndian.AppendUint16(nil, kind)
	body = append(body, 0, 0, 0, 0, 5, 0) // the MTU, where there is one
	body = append(body, pkt[:min(octets, len(pkt))]...)
	if pkt[0]>>4 == 4 {
		binary.BigEndian.PutUint16(body[2:], ^fold(sum16(body)))
		return ipPacket(src, netip.AddrFrom4([4]byte(pkt[12:16])), 1, false, body)
	}
	dst := netip.AddrFrom16([16]byte(pkt[8:24]))
	binary.BigEndian.PutUint16(body[2:], ^fold(pseudoSum(src, dst, 58, len(body))+sum16(body)))
	return ipPacket(src, dst, 58, false, body)
}

var (
	client4, server4 = netip.MustParseAddrPort("10.1.0.1:40000"), netip.MustParseAddrPort("10.2.0.1:5001")
	client6, server6 = netip.MustParseAddrPort("[2001:db8:1::1]:40000"), netip.MustParseAddrPort("[2001:db8:2::1]:5001")
	router4, router6 = netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8:99::1")
)

// TestErrorsAboutLimitedTraffic is RFC 4301, Section 6.2 from end to end: errors about the traffic
// of a child that is limited to a port come through, both ways, whoever sends them.
func TestErrorsAboutLimitedTraffic(t *testing.T) {
	a, b := udp5001(t, 1)
	there4, there6 := udpPacket(client4, server4, true, make([]byte, 500)), udpPacket(client6, server6, true, make([]byte, 500))
	back4, back6 := udpPacket(server4, client4, true, make([]byte, 500)), udpPacket(server6, client6, true, make([]byte, 500))
	for name, tt := range map[string]struct {
		from, to *gateway
		src      netip.Addr
		kind     uint16
		about    []byte
	}{
		"port unreachable, from the server":     {b, a, server4.Addr(), 0x303, there4},
		"port unreachable, from the client":     {a, b, client4.Addr(), 0x303, back4},
		"fragmentation needed, of a router":     {b, a, netip.MustParseAddr("10.2.0.254"), 0x304, there4},
		"source quench":                         {b, a, server4.Addr(), 0x400, there4},
		"time exceeded, of a router elsewhere":  {b, a, router4, 0xb00, there4},
		"parameter problem":                     {a, b, router4, 0xc00, back4},
		"IPv6 port unreachable":                 {b, a, server6.Addr(), 0x104, there6},
		"IPv6 packet too big":                   {a, b, netip.MustParseAddr("2001:db8:1::fe"), 0x200, back6},
		"IPv6 time exceeded, a router's":        {b, a, router6, 0x300, there6},
		"IPv6 parameter problem, the client's":  {a, b, client6.Addr(), 0x401, back6},
		"IPv6 port unreachable, of the client":  {a, b, client6.Addr(), 0x104, back6},
		"prohibited, of a router on the way in": {a, b, router4, 0x30d, back4},
	} {
		t.Run(name, func(t *testing.T) {
			pkt := icmpAbout(tt.src, tt.kind, tt.about, 64)
			tt.from.queues[0].inject(pkt)
			if got := tt.to.queues[0].want(t); !bytes.Equal(got, pkt) {
				t.Errorf("got  %x\nwant %x", got, pkt)
			}
		})
	}
	a.wantCounter(t, "icmp_carried", 12)
	b.wantCounter(t, "icmp_carried", 12)
}

// TestErrorsThatAreNotCarried: what the quoted packet does not vouch for stays here.
func TestErrorsThatAreNotCarried(t *testing.T) {
	a, b := udp5001(t, 1)
	about := udpPacket(server4, client4, true, make([]byte, 100)) // from b's network, as a sees it
	elsewhere := netip.MustParseAddrPort("10.3.0.1:5001")
	nested := icmpAbout(server4.Addr(), 0x303, udpPacket(client4, server4, true, nil), 28)
	for name, pkt := range map[string][]byte{
		"another port":         icmpAbout(router4, 0x303, udpPacket(dst4, client4, true, nil), 28),
		"another protocol":     icmpAbout(router4, 0x303, tcpPacket(server4, client4, 1, 2, nil, nil), 28),
		"another network":      icmpAbout(router4, 0x303, udpPacket(elsewhere, client4, true, nil), 28),
		"no ports":             icmpAbout(router4, 0x303, about, 20),
		"a cut header":         icmpAbout(router4, 0x303, about, 19),
		"no quote":             icmpAbout(router4, 0x303, about, 0),
		"to another host":      redirected(icmpAbout(router4, 0x303, about, 28), netip.MustParseAddr("10.2.0.9")),
		"its own direction":    icmpAbout(router4, 0x303, udpPacket(client4, server4, true, nil), 28),
		"an error in an error": icmpAbout(client4.Addr(), 0x303, nested, 56),
	} {
		before := a.Counters()["out_icmp_no_policy"]
		a.queues[0].inject(pkt)
		eventually(t, name+" is counted", func() bool { return a.Counters()["out_icmp_no_policy"] == before+1 })
	}
	a.queues[0].inject(icmpAbout(router4, 0x501, about, 28)) // a redirect is for one link
	a.wantCounter(t, "out_no_policy", 1)
	a.queues[0].wantIdle(t) // nobody answers an error
	a.RemoveSA(1)
	for range acquireErrors + 1 {
		a.queues[0].inject(icmpAbout(router4, 0x303, about, 28))
	}
	a.wantCounter(t, "out_icmp_no_sa", 1)
	a.wantNoEvent(t) // "no SA will be created"
	a.HoldPolicy(lan, true)
	a.queues[0].inject(icmpAbout(router4, 0x303, about, 28))
	a.wantCounter(t, "out_down", 1)
	a.wantCounter(t, "out_icmp_no_sa", 1)
	if n := b.ports[0].in.len(); n != 0 || b.Counters()["icmp_carried"] != 0 {
		t.Errorf("%d datagrams were sent", n)
	}
}

// TestErrorAboutTheFirstPacket: the answering side sends on a new SA only when something came by
// it. That may be what the error is about, which then waits for a moment.
func TestErrorAboutTheFirstPacket(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	sa.LocalTS, sa.RemoteTS = limited(lanA(), 17, 0), limited(lanB(), 17, 5001)
	theirs := mirror(sa)
	if err := b.SetPolicies([]ipsec.Policy{{ID: lan, Local: theirs.LocalTS, Remote: theirs.RemoteTS}}); err != nil {
		t.Fatal(err)
	}
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	if err := b.InstallInbound(theirs); err != nil {
		t.Fatal(err)
	}
	refused := icmpAbout(server4.Addr(), 0x303, udpPacket(client4, server4, true, nil), 28)
	for range acquireErrors + 1 {
		b.queues[0].inject(refused)
	}
	b.wantCounter(t, "out_icmp_no_sa", 1)
	b.ActivateOutbound(1)
	for range acquireErrors {
		if got := a.queues[0].want(t); !bytes.Equal(got, refused) {
			t.Errorf("got %x, want %x", got, refused)
		}
	}
	b.RemoveSA(1)
	b.queues[0].inject(refused)
	eventually(t, "one more is kept", func() bool {
		b.acquires.tick(time.Now().Add(acquireFor))
		return b.Counters()["out_no_sa"] == 1
	})
}

// redirected is an IPv4 packet that has got another destination.
func redirected(pkt []byte, dst netip.Addr) []byte {
	copy(pkt[16:], dst.AsSlice())
	pkt[10], pkt[11] = 0, 0
	binary.BigEndian.PutUint16(pkt[10:], ^fold(sum16(pkt[:20])))
	return pkt
}

// TestErrorsOfAHostilePeer: an error can tell only of what its SA carries, and only to whom it
// concerns.
func TestErrorsOfAHostilePeer(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.start(t)
	sa := childSA(t, g, g, 1)
	sa.LocalTS, sa.RemoteTS = limited(lanA(), 17, 0), limited(lanB(), 17, 5001)
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, sa)
	about := udpPacket(client4, server4, true, make([]byte, 100))
	bad := [][]byte{
		icmpAbout(server4.Addr(), 0x303, udpPacket(client4, dst4, true, nil), 28),                                       // another port
		icmpAbout(server4.Addr(), 0x303, tcpPacket(client4, server4, 1, 2, nil, nil), 28),                               // another protocol
		icmpAbout(server4.Addr(), 0x303, udpPacket(client4, netip.MustParseAddrPort("10.3.0.1:5001"), true, nil), 28),   // another peer's network
		icmpAbout(server4.Addr(), 0x303, udpPacket(netip.MustParseAddrPort("10.9.0.1:4000"), server4, true, nil), 28),   // not to a network of ours
		redirected(icmpAbout(server4.Addr(), 0x303, about, 28), netip.MustParseAddr("10.1.0.9")),                        // to another host
		icmpAbout(server4.Addr(), 0x303, udpPacket(server4, netip.MustParseAddrPort("10.1.0.1:5001"), true, nil), 28),   // about the peer's own packet
		icmpAbout(server4.Addr(), 0x303, about, 23),                                                                     // no ports
		icmpAbout(netip.MustParseAddr("224.0.0.1"), 0x303, about, 28),                                                   // of a group
		icmpAbout(netip.IPv4Unspecified(), 0x303, about, 28),                                                            // of nobody
		icmpAbout(netip.MustParseAddr("fe80::1"), 0x104, udpPacket(client6, server6, true, nil), 48),                    // of no use beyond a link
		icmpAbout(server6.Addr(), 0x104, udpPacket(client6, dst6, true, nil), 48),                                       // another port
		icmpAbout(server6.Addr(), 0x104, ipPacket(client6.Addr(), server6.Addr(), 44, true, []byte{17, 0, 0, 9}), 9999), // a cut header
	}
	for i, pkt := range bad {
		next := uint8(esp.NextIPv4)
		if pkt[0]>>4 == 6 {
			next = esp.NextIPv6
		}
		g.come(outerB, p.seal(next, pkt))
		eventually(t, "a bad error is counted", func() bool { return g.Counters()["esp_icmp_mismatch"] == uint64(i+1) })
	}
	g.come(outerB, p.seal(esp.NextIPv4, icmpAbout(server4.Addr(), 0x501, about, 28))) // a redirect
	g.wantCounter(t, "esp_selector_mismatch", 1)
	g.queues[0].wantIdle(t)
	if st, _ := g.ChildStats(1); st.Drops["icmp_mismatch"] != uint64(len(bad)) {
		t.Errorf("drops of the SA: %v", st.Drops)
	}
	good := icmpAbout(router4, 0x303, about, 28)
	g.come(outerB, p.seal(esp.NextIPv4, good))
	if got := g.queues[0].want(t); !bytes.Equal(got, good) {
		t.Errorf("got %x, want %x", got, good)
	}
}

// TestErrorsOfRoutersElsewhere: a gateway, and a router behind it, have no address in any local
// network. Their errors about decrypted packets go back by the SA; those that tell a path MTU as if
// the destination sent them, since some peers look at the headers alone.
func TestErrorsOfRoutersElsewhere(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	about4, about6 := udpPacket(dst4, src4, true, make([]byte, 1300)), udpPacket(dst6, src6, true, make([]byte, 1300))
	for name, tt := range map[string]struct {
		src   netip.Addr
		kind  uint16
		about []byte
		want  netip.Addr
	}{
		"time exceeded":                   {router4, 0xb00, about4, router4},
		"fragmentation needed":            {router4, 0x304, about4, src4.Addr()},
		"a local router's":                {netip.MustParseAddr("10.1.255.1"), 0x304, about4, netip.MustParseAddr("10.1.255.1")},
		"IPv6 time exceeded":              {router6, 0x300, about6, router6},
		"IPv6 packet too big":             {router6, 0x200, about6, src6.Addr()},
		"IPv6 too big, link-local router": {netip.MustParseAddr("fe80::1"), 0x200, about6, src6.Addr()},
		"IPv6 link-local router":          {netip.MustParseAddr("fe80::1"), 0x300, about6, src6.Addr()},
	} {
		t.Run(name, func(t *testing.T) {
			pkt := icmpAbout(tt.src, tt.kind, tt.about, 548)
			a.queues[0].inject(pkt)
			got := b.queues[0].want(t)
			if hdr := checkSums(t, got); hdr.Src != tt.want {
				t.Errorf("from %v, want %v", hdr.Src, tt.want)
			}
			upper := 20
			if got[0]>>4 == 6 {
				upper = 40
			}
			if !bytes.Equal(got[upper+4:], pkt[upper+4:]) || !bytes.Equal(got[upper:upper+2], pkt[upper:upper+2]) {
				t.Errorf("got  %x\nwant %x", got, pkt)
			}
		})
	}
}

// TestSourceOfAnUnfinishedError: the kernel may leave the checksum to whoever takes the packet, and
// one that is damaged stays damaged.
func TestSourceOfAnUnfinishedError(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	pkt := icmpAbout(router6, 0x200, udpPacket(dst6, src6, true, make([]byte, 200)), 100)
	sum := fold(pseudoSum(router6, dst6.Addr(), 58, len(pkt)-40))
	unfinished := bytes.Clone(pkt)
	unfinished[42], unfinished[43] = byte(sum>>8), byte(sum)
	a.queues[0].in.put(nil, gso.Packet{Data: unfinished, NeedsChecksum: true, CsumStart: 40, CsumOffset: 2})
	checkSums(t, b.queues[0].want(t))
	pkt[len(pkt)-1] ^= 1
	a.queues[0].inject(pkt)
	got := b.queues[0].want(t)
	if fold(pseudoSum(src6.Addr(), dst6.Addr(), 58, len(got)-40)+sum16(got[40:])) == 0xffff {
		t.Error("a damaged error was made good")
	}
}
