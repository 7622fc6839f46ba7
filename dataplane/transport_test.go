package dataplane

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// A hostPair is two gateways with an SA pair in transport mode, and their addresses as each sees
// them.
type hostPair struct {
	a, b         *gateway
	sa           ipsec.ChildSA // a's
	fromA, fromB [2]netip.Addr // source and destination at the sender
	atA, atB     [2]netip.Addr // and at the receiver
	wire         chan netio.Outgoing
}

// hostTunnel makes such a pair. a has the address given, which b knows by that of the NAT, if there
// is one. The selectors are limited to a protocol and a port of b, if these are not 0.
func hostTunnel(t testing.TB, a, nat, b string, protocol uint8, port uint16) *hostPair {
	t.Helper()
	addr := netip.MustParseAddr
	p := &hostPair{wire: make(chan netio.Outgoing, 4096)}
	p.a, p.b = twoGateways(t, 1, nil)
	p.sa = childSA(t, p.a, p.b, 1)
	seen := addr(nat)
	p.fromA, p.atB = [2]netip.Addr{addr(a), addr(b)}, [2]netip.Addr{seen, addr(b)}
	p.fromB, p.atA = [2]netip.Addr{addr(b), seen}, [2]netip.Addr{addr(b), addr(a)}
	p.sa.Path = ipsec.NATPath(netip.AddrPortFrom(addr(a), 4500), netip.AddrPortFrom(addr(b), 4500))
	p.sa.Hosts = ipsec.Hosts{Local: addr(a), Remote: addr(b), SeenLocal: seen, SeenRemote: addr(b)}
	p.sa.LocalTS, p.sa.RemoteTS = limited([]selector.Selector{selector.FromAddr(addr(a))}, protocol, 0), limited([]selector.Selector{selector.FromAddr(addr(b))}, protocol, port)
	other := mirror(p.sa)
	other.Hosts = ipsec.Hosts{Local: addr(b), Remote: seen, SeenLocal: addr(b), SeenRemote: addr(a)}
	other.RemoteTS = selector.At(p.sa.LocalTS, seen)
	for _, half := range []struct {
		g  *gateway
		sa ipsec.ChildSA
	}{{p.a, p.sa}, {p.b, other}} {
		if err := half.g.SetPolicies([]ipsec.Policy{{ID: lan, Local: half.sa.LocalTS, Remote: half.sa.RemoteTS}}); err != nil {
			t.Fatal(err)
		}
		if err := half.g.InstallInbound(half.sa); err != nil {
			t.Fatal(err)
		}
		half.g.ActivateOutbound(1)
	}
	p.a.ports[0].wiretap(func(o *netio.Outgoing) { p.wire <- *o })
	return p
}

// hostPairs are with and without a NAT.
var hostPairs = map[string][3]string{
	"IPv4": {"192.0.2.1", "192.0.2.1", "192.0.2.2"}, "IPv6": {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
	"NAT, IPv4": {"10.0.0.2", "198.51.100.7", "192.0.2.2"}, "NAT, IPv6": {"fd98::2", "2001:db8::7", "2001:db8::2"},
}

// port returns an address with a port.
func port(a netip.Addr, n uint16) netip.AddrPort { return netip.AddrPortFrom(a, n) }

// open decrypts a datagram by the standard library: an independent reading of what a sent.
func (p *hostPair) open(t *testing.T, esp []byte) (payload []byte, next uint8) {
	t.Helper()
	block, err := aes.NewCipher(p.sa.KeyOut[:16])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	aad := append(append(bytes.Clone(esp[:4]), 0, 0, 0, 0), esp[4:8]...) // with the high half of the ESN
	text, err := gcm.Open(nil, append(bytes.Clone(p.sa.KeyOut[16:]), esp[8:16]...), esp[16:], aad)
	if err != nil {
		t.Fatal(err)
	}
	return text[:len(text)-2-int(text[len(text)-2])], text[len(text)-1]
}

// TestTransportFormat sends packets of several protocols. What is sealed is the packet without its
// IP header; what arrives has the same payload, between the addresses of the receiver, with right
// checksums and the outer TOS.
func TestTransportFormat(t *testing.T) {
	for name, addrs := range hostPairs {
		t.Run(name, func(t *testing.T) {
			p := hostTunnel(t, addrs[0], addrs[1], addrs[2], 0, 0)
			for _, n := range []int{0, 1, 7, 1000} {
				pkt := udpPacket(port(p.fromA[0], 5000), port(p.fromA[1], 7), true, random(n))
				setTOS(pkt, 0xb9)
				p.a.queues[0].inject(pkt)
				got, hdr := p.b.queues[0].want(t), selector.Packet{}
				if err := selector.ParsePacket(got, &hdr); err != nil {
					t.Fatal(err)
				}
				o := <-p.wire
				payload, next := p.open(t, o.Data)
				if head := len(pkt) - 8 - n; !bytes.Equal(payload, pkt[head:]) || next != 17 || o.TOS != 0xb9 || o.Fragment {
					t.Fatalf("%d octets: sealed are %x, next header %d, %+v", n, payload, next, o)
				}
				want := udpPacket(port(p.atB[0], 5000), port(p.atB[1], 7), true, pkt[len(pkt)-n:])
				if checkSums(t, got); hdr.Src != p.atB[0] || hdr.Dst != p.atB[1] || hdr.TOS != 0xb9 || !bytes.Equal(got[hdr.HeaderLen:], want[hdr.HeaderLen:]) {
					t.Fatalf("%d octets: got %x, want %x", n, got, want)
				}
			}
			answer := tcpPacket(port(p.fromB[0], 7), port(p.fromB[1], 5000), 9, 0x18, nil, []byte("answer"))
			p.b.queues[0].inject(answer)
			got := p.a.queues[0].want(t)
			if hdr := checkSums(t, got); hdr.Src != p.atA[0] || hdr.Dst != p.atA[1] || !bytes.HasSuffix(got, []byte("answer")) {
				t.Errorf("the answer is %x", got)
			}
			if st, _ := p.b.ChildStats(1); st.BytesIn != 4*8+1008 || st.BytesOut != 26 {
				t.Errorf("stats %+v: only what is sealed counts", st)
			}
		})
	}
}

// setTOS sets the TOS octet or traffic class of a packet with right checksums.
func setTOS(pkt []byte, tos uint8) {
	if pkt[0]>>4 == 6 {
		pkt[0], pkt[1] = 6<<4|tos>>4, tos<<4|pkt[1]&15
		return
	}
	old := binary.BigEndian.Uint16(pkt)
	pkt[1] = tos
	sum := binary.BigEndian.Uint16(pkt[ipheader.IPv4Checksum:])
	binary.BigEndian.PutUint16(pkt[ipheader.IPv4Checksum:], ipheader.Update(sum, old, binary.BigEndian.Uint16(pkt), false))
}

// TestTransportSuperPackets: each segment is sealed without its IP header, and the largest packet
// is larger than in tunnel mode.
func TestTransportSuperPackets(t *testing.T) {
	for name, addrs := range hostPairs {
		t.Run(name, func(t *testing.T) {
			p := hostTunnel(t, addrs[0], addrs[1], addrs[2], 0, 0)
			v6, payload := p.fromA[0].Is6(), random(60000)
			mtu := gcmFormat.TransportMTU(1500, v6, true)
			size, headers := mtu-40, 20
			if v6 {
				size = mtu - 60
			}
			p.a.queues[0].in.put(nil, superPacket(port(p.fromA[0], 1025), port(p.fromA[1], 443), 7, payload, 1460))
			segmentsAt(t, p.b.queues[0], 7, payload, size)
			count := (len(payload) + size - 1) / size
			if st, _ := p.a.ChildStats(1); int(st.PacketsOut) != count || st.BytesOut != uint64(len(payload)+count*headers) {
				t.Errorf("%d packets of %d octets, want %d of %d", st.PacketsOut, st.BytesOut, count, len(payload)+count*headers)
			}
		})
	}
}

// TestTransportLargeUDP: a UDP super-packet whose segments are too large may be fragmented outside,
// each segment by itself.
func TestTransportLargeUDP(t *testing.T) {
	p := hostTunnel(t, "192.0.2.1", "192.0.2.1", "192.0.2.2", 0, 0)
	payload := random(5000)
	p.a.queues[0].in.put(nil, usoPacket(port(p.fromA[0], 1), port(p.fromA[1], 2), false, payload, 2000))
	for at := 0; at < len(payload); at += 2000 {
		got := p.b.queues[0].want(t)
		checkSums(t, got)
		if end := min(at+2000, len(payload)); !bytes.Equal(got[28:], payload[at:end]) {
			t.Errorf("at %d came %d octets", at, len(got)-28)
		}
		if o := <-p.wire; o.SegSize != 0 || o.Fragment != (at < 4000) {
			t.Errorf("at %d: %+v", at, o)
		}
	}
}

// TestTransportSize: a packet that is too large for the path is refused, or, if it may be
// fragmented, sealed whole and fragmented outside.
func TestTransportSize(t *testing.T) {
	p := hostTunnel(t, "192.0.2.1", "192.0.2.1", "192.0.2.2", 0, 0)
	mtu := gcmFormat.TransportMTU(1500, false, true)
	if st, _ := p.a.ChildStats(1); st.MTU != mtu || mtu != 1458 {
		t.Fatalf("the MTU is %d, want %d", st.MTU, mtu)
	}
	src, dst := port(p.fromA[0], 1), port(p.fromA[1], 2)
	most := (largestSealed-16-16)&^3 - 2 - 8 // without header and IV of ESP, ICV, trailer, and header of UDP
	for size, fragment := range map[int]bool{mtu: false, mtu + 1: true, largestSealed: true} {
		n := size - 28
		if size == largestSealed {
			n = most
		}
		pkt := udpPacket(src, dst, false, random(n))
		p.a.queues[0].inject(pkt)
		if got := p.b.queues[0].want(t); !bytes.Equal(got[20:], pkt[20:]) {
			t.Errorf("of %d octets %d came", len(pkt), len(got))
		}
		if o := <-p.wire; o.Fragment != fragment {
			t.Errorf("%d octets: may be fragmented: %v", len(pkt), o.Fragment)
		}
	}
	p.a.queues[0].inject(udpPacket(src, dst, false, random(most+1)))
	p.a.wantCounter(t, "out_too_big", 1)
	p.a.queues[0].inject(udpPacket(src, dst, true, random(mtu-27)))
	if _, _, got := checkICMP(t, p.a.queues[0].want(t), udpPacket(src, dst, true, random(mtu-27))); got != mtu {
		t.Errorf("the sender is told of an MTU of %d, want %d", got, mtu)
	}
}

// TestTransportFragments: fragments of this host become a whole packet, whose ports are checked.
func TestTransportFragments(t *testing.T) {
	for name, addrs := range hostPairs {
		for order, turn := range orders {
			t.Run(name+", "+order, func(t *testing.T) {
				p := hostTunnel(t, addrs[0], addrs[1], addrs[2], 17, 7)
				for _, to := range []uint16{8, 7} {
					list := datagram(port(p.fromA[0], 5000), port(p.fromA[1], to), 9000, to)
					turn(list)
					p.a.queues[0].inject(list...)
				}
				got := p.b.queues[0].want(t)
				if hdr := checkSums(t, got); hdr.DstPort != 7 || hdr.Fragment != selector.NotFragment || hdr.TotalLen != hdr.HeaderLen+9008 {
					t.Errorf("got %+v", hdr)
				}
				if o := <-p.wire; !o.Fragment || o.SegSize != 0 {
					t.Errorf("sent %+v", o)
				}
				p.b.queues[0].wantIdle(t)
			})
		}
	}
}

// TestTransportRefuses: what the selectors do not hold is let neither out nor in, nor what came
// from another host, nor a header that the outer packet does not have.
func TestTransportRefuses(t *testing.T) {
	p := hostTunnel(t, "192.0.2.1", "192.0.2.1", "192.0.2.2", 17, 7)
	good := udpPacket(port(p.fromA[0], 1), port(p.fromA[1], 7), true, nil)
	p.a.queues[0].inject(udpPacket(port(p.fromA[0], 1), port(p.fromA[1], 8), true, nil))
	p.a.wantCounter(t, "out_no_policy", 1)
	p.a.queues[0].want(t) // the answer
	p.a.ports[0].sending(func(o *netio.Outgoing) error { o.Path = ipsec.RawPath(addrOf("192.0.2.9"), p.fromA[1]); return nil })
	p.a.queues[0].inject(good)
	p.b.wantCounter(t, "esp_selector_mismatch", 1)
	p.a.ports[0].sending(func(o *netio.Outgoing) error { o.Path = ipsec.RawPath(p.fromA[0], p.fromA[1]); return nil })
	p.a.queues[0].inject(good)
	p.b.queues[0].want(t)
	options := append(bytes.Clone(good[:20]), append([]byte{1, 1, 1, 0}, good[20:]...)...)
	options[0]++
	binary.BigEndian.PutUint16(options[2:], uint16(len(options)))
	p.a.queues[0].inject(options)
	p.a.wantCounter(t, "out_header", 1)
	p.b.queues[0].wantIdle(t)

	// The peer seals what its selectors do not hold, by an SA of its own making.
	q := hostTunnel(t, "2001:db8::1", "2001:db8::1", "2001:db8::2", 0, 0)
	narrow := q.b.pairByID(1)
	narrow.sa.LocalTS, narrow.sa.RemoteTS = limited(narrow.sa.LocalTS, 17, 7), limited(narrow.sa.RemoteTS, 17, 0)
	q.a.queues[0].inject(tcpPacket(port(q.fromA[0], 1), port(q.fromA[1], 7), 1, 2, nil, nil), udpPacket(port(q.fromA[0], 1), port(q.fromA[1], 8), true, nil))
	q.b.wantCounter(t, "esp_selector_mismatch", 2)
	// Nor does it help to say that it is another protocol.
	routed := udpPacket(port(q.fromA[0], 1), port(q.fromA[1], 7), true, nil)
	routed[6] = 47
	q.a.queues[0].inject(routed)
	q.b.wantCounter(t, "esp_selector_mismatch", 3)
	q.b.queues[0].wantIdle(t)
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }
