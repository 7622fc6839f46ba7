package selector

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"culvert/internal/ipheader"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers to be completed: total or payload length, flags and protocol are where the x are.
const (
	src4 = "0a010001"
	dst4 = "0a020002"
	src6 = "20010db8000100000000000000000001"
	dst6 = "20010db8000200000000000000000002"
)

// v4 is an IPv4 packet with a 20-octet header. fragment is the flags and offset field.
func v4(t testing.TB, tos, fragment, proto, payload string) []byte {
	t.Helper()
	b := unhex(t, "45"+tos+"0000 1234"+fragment+"40"+proto+"0000"+src4+dst4+payload)
	b[2], b[3] = byte(len(b)>>8), byte(len(b))
	return b
}

// v6 is an IPv6 packet with traffic class b8.
func v6(t testing.TB, next, payload string) []byte {
	t.Helper()
	b := unhex(t, "6b812345 0000"+next+"40"+src6+dst6+payload)
	n := len(b) - 40
	b[4], b[5] = byte(n>>8), byte(n)
	return b
}

type packetCase struct {
	name string
	pkt  []byte
	want Packet // without the addresses and the version
}

func packetCases(t *testing.T) []packetCase {
	const (
		tcp  = "c00001bb 00000001 00000002 50100100 00000000"
		udp  = "c0000035 0008 0000"
		hop  = "3c00 0104 0000 0000"                     // hop-by-hop, then destination options
		opts = "2b01 010c 0000 0000 0000 0000 0000 0000" // 16 octets of destination options, then routing
		rt   = "0600 0400 0000 0000"                     // routing, then TCP
	)
	return []packetCase{
		{"v4 tcp", v4(t, "b8", "4000", "06", tcp), Packet{TOS: 0xb8, HeaderLen: 20, Upper: 20, TotalLen: 40, DF: true,
			Flow: Flow{Protocol: 6, SrcPort: 49152, DstPort: 443}}},
		{"v4 udp", v4(t, "03", "0000", "11", udp), Packet{TOS: 3, HeaderLen: 20, Upper: 20, TotalLen: 28,
			Flow: Flow{Protocol: 17, SrcPort: 49152, DstPort: 53}}},
		{"v4 udplite", v4(t, "00", "0000", "88", udp), Packet{HeaderLen: 20, Upper: 20, TotalLen: 28,
			Flow: Flow{Protocol: 136, SrcPort: 49152, DstPort: 53}}},
		{"v4 sctp", v4(t, "00", "0000", "84", udp), Packet{HeaderLen: 20, Upper: 20, TotalLen: 28,
			Flow: Flow{Protocol: 132, SrcPort: 49152, DstPort: 53}}},
		{"v4 dccp", v4(t, "00", "0000", "21", udp), Packet{HeaderLen: 20, Upper: 20, TotalLen: 28,
			Flow: Flow{Protocol: 33, SrcPort: 49152, DstPort: 53}}},
		{"v4 icmp echo", v4(t, "00", "0000", "01", "0800 0000 0001 0001"), Packet{HeaderLen: 20, Upper: 20, TotalLen: 28,
			Flow: Flow{Protocol: 1, SrcPort: 0x800, DstPort: 0x800}}},
		{"v4 gre", v4(t, "00", "0000", "2f", "0000 0800 4500"), Packet{HeaderLen: 20, Upper: 20, TotalLen: 26,
			Flow: Flow{Protocol: 47, PortsUnknown: true}}},
		{"v4 ah is an upper layer", v4(t, "00", "0000", "33", "0604 0000 0000 0001 0000 0001"+strings.Repeat("00", 12)+tcp),
			Packet{HeaderLen: 20, Upper: 20, TotalLen: 64, Flow: Flow{Protocol: 51, PortsUnknown: true}}},
		{"v4 first fragment", v4(t, "00", "2000", "11", udp), Packet{HeaderLen: 20, Upper: 20, TotalLen: 28, Fragment: FirstFragment,
			Flow: Flow{Protocol: 17, SrcPort: 49152, DstPort: 53}}},
		{"v4 middle fragment", v4(t, "00", "2010", "11", udp), Packet{HeaderLen: 20, Upper: 20, TotalLen: 28, Fragment: LaterFragment,
			Flow: Flow{Protocol: 17, PortsUnknown: true}}},
		{"v4 last fragment", v4(t, "00", "0010", "06", tcp), Packet{HeaderLen: 20, Upper: 20, TotalLen: 40, Fragment: LaterFragment,
			Flow: Flow{Protocol: 6, PortsUnknown: true}}},
		{"v4 ports cut", v4(t, "00", "0000", "11", "c00000"), Packet{HeaderLen: 20, Upper: 20, TotalLen: 23,
			Flow: Flow{Protocol: 17, PortsUnknown: true}}},
		{"v4 no payload", v4(t, "00", "0000", "11", ""), Packet{HeaderLen: 20, Upper: 20, TotalLen: 20,
			Flow: Flow{Protocol: 17, PortsUnknown: true}}},
		{"v6 tcp", v6(t, "06", tcp), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 40, TotalLen: 60, DF: true,
			Flow: Flow{Protocol: 6, SrcPort: 49152, DstPort: 443}}},
		{"v6 icmp", v6(t, "3a", "8100 0000 0001 0001"), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 40, TotalLen: 48, DF: true,
			Flow: Flow{Protocol: 58, SrcPort: 0x8100, DstPort: 0x8100}}},
		{"v6 mobility", v6(t, "87", "3b00 0500 0000 0000"), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 40, TotalLen: 48, DF: true,
			Flow: Flow{Protocol: 135, SrcPort: 0x500, DstPort: 0x500}}},
		{"v6 extension chain", v6(t, "00", hop+opts+rt+tcp), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 72, TotalLen: 92, DF: true,
			Flow: Flow{Protocol: 6, SrcPort: 49152, DstPort: 443}}},
		{"v6 first fragment", v6(t, "2c", "1100 0001 0000 0007"+udp), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 48, TotalLen: 56, DF: true,
			Fragment: FirstFragment, Flow: Flow{Protocol: 17, SrcPort: 49152, DstPort: 53}}},
		{"v6 atomic fragment", v6(t, "2c", "1100 0000 0000 0007"+udp), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 48, TotalLen: 56, DF: true,
			Flow: Flow{Protocol: 17, SrcPort: 49152, DstPort: 53}}},
		{"v6 later fragment", v6(t, "2c", "1100 0009 0000 0007"+udp), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 48, TotalLen: 56, DF: true,
			Fragment: LaterFragment, Flow: Flow{Protocol: 17, PortsUnknown: true}}},
		{"v6 later fragment, data, not a chain", v6(t, "2c", "3c00 0008 0000 0007 ffffffff"), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 48, TotalLen: 52,
			DF: true, Fragment: LaterFragment, Flow: Flow{Protocol: 60, PortsUnknown: true}}},
		{"v6 no next header", v6(t, "3b", ""), Packet{TOS: 0xb8, HeaderLen: 40, Upper: 40, TotalLen: 40, DF: true,
			Flow: Flow{Protocol: 59, PortsUnknown: true}}},
	}
}

func TestParsePacket(t *testing.T) {
	for _, c := range packetCases(t) {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			want.Version, want.Src, want.Dst = 4, netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.2")
			if c.pkt[0]>>4 == 6 {
				want.Version, want.Src, want.Dst = 6, netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:2::2")
			}
			checkPacket(t, c.pkt, want)
			// Padding behind the packet (RFC 4303, Section 2.7) is none of it.
			checkPacket(t, append(c.pkt[:len(c.pkt):len(c.pkt)], 1, 2, 3), want)
			for n := range len(c.pkt) {
				var p Packet
				if err := ParsePacket(c.pkt[:n], &p); err == nil {
					t.Errorf("the first %d of %d octets were parsed: %+v", n, len(c.pkt), p)
				}
			}
		})
	}
}

func checkPacket(t *testing.T, pkt []byte, want Packet) {
	t.Helper()
	got := Packet{TOS: 0xff, DF: true, Fragment: LaterFragment, Upper: -1, Flow: Flow{PortsUnknown: true, SrcPort: 7}}
	if err := ParsePacket(pkt, &got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	if flow, err := ParseFlow(pkt); err != nil || flow != want.Flow {
		t.Fatalf("ParseFlow = %+v, %v", flow, err)
	}
}

func TestParsePacketIPv4Options(t *testing.T) {
	b := unhex(t, "47000024 00000000 40110000"+src4+dst4+"01010101 01010100 c0000035 0008 0000")
	var p Packet
	if err := ParsePacket(b, &p); err != nil || p.HeaderLen != 28 || p.Upper != 28 || p.DstPort != 53 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestParsePacketHostile(t *testing.T) {
	change := func(b []byte, at int, v ...byte) []byte { copy(b[at:], v); return b }
	const udp = "c0000035 0008 0000"
	for _, c := range []struct {
		name string
		pkt  []byte
		want error
	}{
		{"nothing", nil, ErrTruncated},
		{"one octet", []byte{0x45}, ErrTruncated},
		{"version 0", change(v4(t, "00", "0000", "11", udp), 0, 0x05), ErrVersion},
		{"version 5", change(v4(t, "00", "0000", "11", udp), 0, 0x55), ErrVersion},
		{"version 15, one octet", []byte{0xff}, ErrVersion},
		{"IHL 0", change(v4(t, "00", "0000", "11", udp), 0, 0x40), ErrHeader},
		{"IHL 4", change(v4(t, "00", "0000", "11", udp), 0, 0x44), ErrHeader},
		{"IHL beyond the total length", change(v4(t, "00", "0000", "11", udp), 0, 0x4f), ErrHeader},
		{"total length 0", change(v4(t, "00", "0000", "11", udp), 2, 0, 0), ErrHeader},
		{"total length below the header", change(v4(t, "00", "0000", "11", udp), 2, 0, 19), ErrHeader},
		{"total length beyond the buffer", change(v4(t, "00", "0000", "11", udp), 2, 0, 29), ErrTruncated},
		{"total length 65535", change(v4(t, "00", "0000", "11", udp), 2, 255, 255), ErrTruncated},
		{"fragment beyond any datagram", v4(t, "00", "1fff", "11", udp), ErrFragment},
		{"TCP fragment over the flags", v4(t, "00", "0001", "06", udp), ErrFragment},
		{"v6 payload length beyond the buffer", change(v6(t, "11", udp), 4, 0, 9), ErrTruncated},
		{"v6 source 4-in-6", change(v6(t, "11", udp), 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), ErrAddress},
		{"v6 destination 4-in-6", change(v6(t, "11", udp), 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), ErrAddress},
		{"v6 extension header longer than the packet", v6(t, "00", "11ff 0104 0000 0000"), ErrTruncated},
		{"v6 extension header cut", v6(t, "00", "1100 0104"), ErrTruncated},
		{"v6 fragment header cut", v6(t, "2c", "1100 0001"), ErrTruncated},
		{"v6 fragment of a fragment", v6(t, "2c", "2c00 0001 0000 0007 1100 0001 0000 0007"+udp), ErrFragment},
		{"v6 fragment beyond any datagram", v6(t, "2c", "1100 fff8 0000 0007"+udp), ErrFragment},
		{"v6 endless extension headers", v6(t, "3c", strings.Repeat("3c00 0104 0000 0000", 100)), ErrHeader},
	} {
		var p Packet
		if err := ParsePacket(c.pkt, &p); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if _, err := ParseFlow(c.pkt); !errors.Is(err, c.want) {
			t.Errorf("%s: ParseFlow: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestParsePacketAllocatesNothing(t *testing.T) {
	a, b := v4(t, "00", "0000", "11", "c0000035 0008 0000"), v6(t, "00", "1100 0104 0000 0000 c0000035 0008 0000")
	var p Packet
	if n := testing.AllocsPerRun(100, func() {
		if ParsePacket(a, &p) != nil || ParsePacket(b, &p) != nil || ParsePacket(b[:50], &p) == nil {
			t.Error("parsed wrongly")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzParseFlow(f *testing.F) {
	f.Add(v4(f, "00", "0000", "11", "c0000035 0008 0000"))
	f.Add(v6(f, "00", "3c00 0104 0000 0000 2c00 0104 0000 0000 0600 0001 0000 0007 c0000035"))
	f.Add([]byte{0x45, 0, 0})
	f.Fuzz(func(t *testing.T, pkt []byte) {
		var p Packet
		err := ParsePacket(pkt, &p)
		flow, flowErr := ParseFlow(pkt)
		if (err == nil) != (flowErr == nil) {
			t.Fatalf("ParsePacket %v, ParseFlow %v", err, flowErr)
		}
		if err != nil {
			return
		}
		switch {
		case flow != p.Flow:
			t.Fatalf("flows differ: %+v, %+v", flow, p.Flow)
		case p.HeaderLen < 20 || p.HeaderLen > p.Upper || p.Upper > p.TotalLen || p.TotalLen > len(pkt):
			t.Fatalf("lengths out of order: %+v", p)
		case !plainAddr(p.Src) || !plainAddr(p.Dst) || p.Src.BitLen() != p.Dst.BitLen():
			t.Fatalf("addresses: %+v", p)
		case p.PortsUnknown && (p.SrcPort != 0 || p.DstPort != 0):
			t.Fatalf("unknown ports have values: %+v", p)
		}
		local, remote := Specific(&flow)
		if !MatchOutbound(&flow, []Selector{local}, []Selector{remote}) {
			t.Fatalf("%+v does not match its own selectors %v, %v", flow, local, remote)
		}
	})
}

// Seven extension headers are skipped; a packet with more is refused.
func TestExtensionBound(t *testing.T) {
	for n, want := range map[int]error{7: nil, 8: ErrHeader} {
		pkt := make([]byte, 40+8*n+8)
		pkt[0], pkt[5], pkt[6] = 0x60, byte(8*n+8), ipheader.ExtDestination
		for i := range n {
			pkt[40+8*i] = ipheader.ExtDestination
		}
		pkt[40+8*(n-1)] = ProtoUDP
		if _, err := ParseFlow(pkt); err != want {
			t.Errorf("%d extension headers: %v, want %v", n, err, want)
		}
	}
}

// A fragment may end with octet 65535 of its datagram, and not after it.
func TestFragmentEnd(t *testing.T) {
	for n, want := range map[byte]error{7: nil, 8: ErrFragment} {
		pkt := make([]byte, 20+n)
		pkt[0], pkt[3], pkt[6], pkt[7], pkt[9] = 0x45, 20+n, 0x1f, 0xff, ProtoUDP
		if _, err := ParseFlow(pkt); err != want {
			t.Errorf("%d octets from 65528 on: %v, want %v", n, err, want)
		}
	}
}
