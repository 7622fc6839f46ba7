package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/selector"
)

// checkICMP checks an ICMP error about pkt, and returns its type, code and MTU.
func checkICMP(t *testing.T, icmp, pkt []byte) (typ, code byte, mtu int) {
	t.Helper()
	hdr, about := checkSums(t, icmp), parse(t, pkt)
	if hdr.Src != about.Dst || hdr.Dst != about.Src {
		t.Errorf("from %v to %v, want from %v to %v", hdr.Src, hdr.Dst, about.Dst, about.Src)
	}
	body := icmp[hdr.Upper:]
	if !bytes.HasPrefix(pkt, body[8:]) || len(body) < 8+28 {
		t.Error("it does not quote the packet")
	}
	if hdr.Version == 4 {
		if hdr.Protocol != selector.ProtoICMP || len(icmp) > 576 {
			t.Errorf("protocol %d, %d octets", hdr.Protocol, len(icmp))
		}
		return body[0], body[1], int(binary.BigEndian.Uint16(body[6:]))
	}
	if hdr.Protocol != selector.ProtoICMPv6 || len(icmp) > 1280 {
		t.Errorf("protocol %d, %d octets", hdr.Protocol, len(icmp))
	}
	return body[0], body[1], int(binary.BigEndian.Uint32(body[4:]))
}

func TestICMPErrors(t *testing.T) {
	tests := []struct {
		name      string
		e         icmpError
		pkt       []byte
		typ, code byte
		mtu       int
	}{
		{"fragmentation needed", tooBig(1398), udpPacket(src4, dst4, true, make([]byte, 1500)), 3, 4, 1398},
		{"packet too big", tooBig(1398), udpPacket(src6, dst6, true, make([]byte, 1501)), 2, 0, 1398},
		{"prohibited", prohibited, udpPacket(src4, dst4, true, []byte("dns")), 3, 13, 0},
		{"prohibited by IPv6", prohibited, tcpPacket(src6, dst6, 9, 2, nil, nil), 1, 1, 0},
		{"about a ping", prohibited, ipPacket(src4.Addr(), dst4.Addr(), 1, true, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}), 3, 13, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			icmp := appendICMP(nil, tt.e, tt.pkt, parse(t, tt.pkt))
			if len(icmp) == 0 {
				t.Fatal("nothing")
			}
			typ, code, mtu := checkICMP(t, icmp, tt.pkt)
			if typ != tt.typ || code != tt.code || mtu != tt.mtu {
				t.Errorf("type %d code %d MTU %d, want %d %d %d", typ, code, mtu, tt.typ, tt.code, tt.mtu)
			}
		})
	}
}

func TestNoICMPAbout(t *testing.T) {
	later := udpPacket(src4, dst4, false, make([]byte, 100))
	later[7] = 100
	multicast := netip.MustParseAddr("224.0.0.1")
	for name, pkt := range map[string][]byte{
		"an ICMP error":     ipPacket(src4.Addr(), dst4.Addr(), 1, true, []byte{3, 4, 0, 0, 0, 0, 0, 0}),
		"an ICMPv6 error":   ipPacket(src6.Addr(), dst6.Addr(), 58, true, []byte{2, 0, 0, 0, 0, 0, 5, 0}),
		"empty ICMP":        ipPacket(src4.Addr(), dst4.Addr(), 1, true, nil),
		"a later fragment":  later,
		"multicast":         ipPacket(src4.Addr(), multicast, 17, true, make([]byte, 8)),
		"the unspecified":   ipPacket(netip.IPv4Unspecified(), dst4.Addr(), 17, true, make([]byte, 8)),
		"a broadcast":       ipPacket(src4.Addr(), netip.MustParseAddr("255.255.255.255"), 17, true, make([]byte, 8)),
		"a multicast by v6": ipPacket(src6.Addr(), netip.MustParseAddr("ff02::1"), 17, true, make([]byte, 8)),
	} {
		if got := appendICMP(nil, prohibited, pkt, parse(t, pkt)); len(got) != 0 {
			t.Errorf("%s is answered", name)
		}
	}
}
