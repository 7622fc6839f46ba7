package dataplane

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func TestTunnelModes(t *testing.T) {
	v4 := ipsec.NATPath(netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.2:4500"))
	v6 := ipsec.NATPath(netip.MustParseAddrPort("[2001:db8::1]:4500"), netip.MustParseAddrPort("[2001:db8::2]:4500"))
	raw := func(p ipsec.Path) ipsec.Path { return ipsec.RawPath(p.Local().Addr(), p.Remote().Addr()) }
	inner4 := udpPacket(src4, dst4, true, []byte("over IPv4"))
	inner6 := udpPacket(src6, dst6, true, []byte("over IPv6"))
	for name, outer := range map[string]ipsec.Path{"UDP over IPv4": v4, "UDP over IPv6": v6, "protocol 50 over IPv4": raw(v4), "protocol 50 over IPv6": raw(v6)} {
		t.Run(name, func(t *testing.T) {
			a, b := twoGateways(t, 1, nil)
			sa := childSA(t, a, b, 1)
			sa.Path = outer
			install(t, a, b, sa)
			for _, inner := range [][]byte{inner4, inner6} {
				a.queues[0].inject(inner)
				if got := b.queues[0].want(t); !bytes.Equal(got, inner) {
					t.Errorf("got  %x\nwant %x", got, inner)
				}
			}
			back := udpPacket(dst6, src6, true, []byte("back"))
			b.queues[0].inject(back)
			if got := a.queues[0].want(t); !bytes.Equal(got, back) {
				t.Errorf("got  %x\nwant %x", got, back)
			}
			st, ok := a.ChildStats(1)
			octets := uint64(len(inner4) + len(inner6))
			if !ok || st.PacketsOut != 2 || st.BytesOut != octets || st.PacketsIn != 1 || st.BytesIn != uint64(len(back)) || st.LastIn.IsZero() || st.LastOut.IsZero() {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestDatagramOnTheWire(t *testing.T) {
	a, b, sa := tunnel(t, 1)
	var wire []netio.Outgoing
	a.ports[0].wiretap(func(o *netio.Outgoing) { wire = append(wire, *o) })
	inner := udpPacket(src4, dst4, true, []byte("x"))
	inner[1] = 0xb9 // DSCP EF, ECT(1); the header checksum is nobody's business
	a.queues[0].inject(inner)
	b.queues[0].want(t)
	o := wire[0]
	if o.Path != ipsec.NATPath(outerA, outerB) || o.SegSize != 0 || o.TOS != 0xb9 {
		t.Errorf("sent %+v", o)
	}
	if len(o.Data) != gcmFormat.SealedLen(len(inner)) || binary.BigEndian.Uint32(o.Data) != sa.SPIOut || binary.BigEndian.Uint32(o.Data[4:]) != 1 {
		t.Errorf("datagram %x", o.Data)
	}
}

// segmentsAt collects TCP segments until they hold as much payload as was sent.
func segmentsAt(t *testing.T, q *fakeQueue, seq uint32, want []byte, size int) {
	t.Helper()
	var got []byte
	for len(got) < len(want) {
		pkt := q.want(t)
		hdr := checkSums(t, pkt)
		tcp := pkt[hdr.Upper:]
		if at := binary.BigEndian.Uint32(tcp[4:]); at != seq+uint32(len(got)) {
			t.Fatalf("segment at sequence number %d, want %d", at, seq+uint32(len(got)))
		}
		payload := tcp[tcp[12]>>4*4:]
		if last := len(got)+len(payload) == len(want); len(payload) > size || !last && len(payload) != size {
			t.Fatalf("segment of %d octets at %d, want %d", len(payload), len(got), size)
		}
		got = append(got, payload...)
	}
	if !bytes.Equal(got, want) {
		t.Error("the stream is not what was sent")
	}
}

func TestSuperPacket(t *testing.T) {
	tests := []struct {
		name             string
		src, dst         netip.AddrPort
		octets, segment  int
		wantSize         int // of segments at the peer
		sends, packetMax int
	}{
		{"IPv4", src4, dst4, 60001, 1388, 1388, 1, 44},
		{"IPv6", src6, dst6, 60000, 1360, 1360, 1, 45},
		{"64 KB", src4, dst4, 65535 - 40, 1388, 1388, 2, 48},
		{"more segments than one send takes", src4, dst4, 20000, 100, 100, 4, 200},
		{"of one segment", src4, dst4, 1000, 1388, 1388, 1, 1},
		{"segments beyond the MTU", src4, dst4, 20000, 1460, 1438 - 40, 1, 15},
		{"segments beyond the MTU, IPv6", src6, dst6, 20000, 1440, 1438 - 60, 1, 15},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, _ := tunnel(t, 1)
			sends := make(chan netio.Outgoing, 100)
			a.ports[0].wiretap(func(o *netio.Outgoing) { sends <- *o })
			payload := random(tt.octets)
			a.queues[0].in.put(nil, superPacket(tt.src, tt.dst, 7, payload, tt.segment))
			segmentsAt(t, b.queues[0], 7, payload, tt.wantSize)
			if len(sends) != tt.sends {
				t.Errorf("%d sends, want %d", len(sends), tt.sends)
			}
			st, _ := a.ChildStats(1)
			if int(st.PacketsOut) != tt.packetMax {
				t.Errorf("%d packets, want %d", st.PacketsOut, tt.packetMax)
			}
			hdr := 40
			if tt.src.Addr().Is6() {
				hdr = 60
			}
			if want := uint64(tt.octets + tt.packetMax*hdr); st.BytesOut != want {
				t.Errorf("%d octets, want %d", st.BytesOut, want)
			}
		})
	}
}

// usoPacket is a UDP super-packet.
func usoPacket(src, dst netip.AddrPort, df bool, payload []byte, segment int) gso.Packet {
	pkt := udpPacket(src, dst, df, payload)
	sum := fold(pseudoSum(src.Addr(), dst.Addr(), 17, len(payload)+8))
	pkt[26], pkt[27] = byte(sum>>8), byte(sum)
	return gso.Packet{Data: pkt, GSO: gso.UDP, SegSize: uint16(segment), HdrLen: 28, NeedsChecksum: true, CsumStart: 20, CsumOffset: 6}
}

func TestUDPSuperPacket(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	payload := random(5000)
	a.queues[0].in.put(nil, usoPacket(src4, dst4, true, payload, 1200))
	for at := 0; at < len(payload); at += 1200 {
		pkt := b.queues[0].want(t)
		checkSums(t, pkt)
		if want := payload[at:min(at+1200, len(payload))]; !bytes.Equal(pkt[28:], want) {
			t.Errorf("datagram at %d differs", at)
		}
	}
}

func TestUDPSuperPacketBeyondTheMTU(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	payload := random(4000)
	uso := usoPacket(src4, dst4, true, payload, 1460)
	a.queues[0].in.put(nil, uso)
	typ, code, mtu := checkICMP(t, a.queues[0].want(t), uso.Data)
	if typ != 3 || code != 4 || mtu != 1438 {
		t.Errorf("type %d code %d MTU %d", typ, code, mtu)
	}
	a.queues[0].in.put(nil, usoPacket(src4, dst4, false, payload, 1460))
	for at := 0; at < len(payload); at += 1460 {
		want := payload[at:min(at+1460, len(payload))]
		var got []byte
		for len(got) < len(want)+8 {
			pkt := b.queues[0].want(t)
			checkSums(t, pkt)
			got = append(got, pkt[20:]...)
		}
		if !bytes.Equal(got[8:], want) {
			t.Errorf("datagram at %d differs", at)
		}
	}
}

func TestMSSIsClampedBothWays(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	// Only a knows that the path is narrow: it must clamp what it sends and what it receives.
	a.mu.Lock()
	a.setInnerMTU(a.pairs[1], 1400)
	a.mu.Unlock()
	want := gcmFormat.InnerMTU(1400, false, true) - 40
	syn := tcpPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil)
	a.queues[0].inject(syn)
	got := b.queues[0].want(t)
	checkSums(t, got)
	if mss := int(binary.BigEndian.Uint16(got[42:])); mss != want {
		t.Errorf("MSS of the SYN %d, want %d", mss, want)
	}
	b.queues[0].inject(tcpPacket(dst4, src4, 1, 0x12, []byte{2, 4, 0x05, 0xb4}, nil))
	got = a.queues[0].want(t)
	checkSums(t, got)
	if mss := int(binary.BigEndian.Uint16(got[42:])); mss != want {
		t.Errorf("MSS of the SYN-ACK %d, want %d", mss, want)
	}
}
