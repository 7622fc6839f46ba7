package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/selector"
)

// The packets of the tests are made and checked here, by the plainest code there is, not by the code under test.

func sum16(b []byte) uint32 {
	var s uint32
	for i, c := range b {
		if i%2 == 0 {
			s += uint32(c) << 8
		} else {
			s += uint32(c)
		}
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// ipPacket is a packet of the addresses' family around upper.
func ipPacket(src, dst netip.Addr, proto uint8, df bool, upper []byte) []byte {
	if src.Is4() {
		b := make([]byte, 20, 20+len(upper))
		b[0], b[8], b[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(upper)))
		binary.BigEndian.PutUint16(b[4:], 0x1234)
		if df {
			b[6] = 0x40
		}
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^fold(sum16(b)))
		return append(b, upper...)
	}
	b := make([]byte, 40, 40+len(upper))
	b[0], b[6], b[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(upper)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, upper...)
}

func pseudoSum(src, dst netip.Addr, proto uint8, length int) uint32 {
	return sum16(src.AsSlice()) + sum16(dst.AsSlice()) + uint32(proto) + uint32(length)
}

func udpPacket(src, dst netip.AddrPort, df bool, payload []byte) []byte {
	u := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(u, src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(8+len(payload)))
	u = append(u, payload...)
	binary.BigEndian.PutUint16(u[6:], ^fold(pseudoSum(src.Addr(), dst.Addr(), 17, len(u))+sum16(u)))
	return ipPacket(src.Addr(), dst.Addr(), 17, df, u)
}

func tcpPacket(src, dst netip.AddrPort, seq uint32, flags byte, options, payload []byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	h := make([]byte, 20, 20+len(options)+len(payload))
	binary.BigEndian.PutUint16(h, src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	binary.BigEndian.PutUint32(h[4:], seq)
	h[12], h[13] = byte(20+len(options))/4<<4, flags
	h = append(append(h, options...), payload...)
	binary.BigEndian.PutUint16(h[16:], ^fold(pseudoSum(src.Addr(), dst.Addr(), 6, len(h))+sum16(h)))
	return ipPacket(src.Addr(), dst.Addr(), 6, true, h)
}

// checkSums fails the test unless every checksum of the packet is right: IPv4 header, TCP, UDP, ICMP, ICMPv6.
func checkSums(t *testing.T, pkt []byte) selector.Packet {
	t.Helper()
	var hdr selector.Packet
	if err := selector.ParsePacket(pkt, &hdr); err != nil {
		t.Fatalf("%x: %v", pkt, err)
	}
	if hdr.TotalLen != len(pkt) {
		t.Errorf("%d octets of packet in %d", hdr.TotalLen, len(pkt))
	}
	if hdr.Version == 4 && fold(sum16(pkt[:hdr.HeaderLen])) != 0xffff {
		t.Errorf("IPv4 header checksum is wrong: %x", pkt[:hdr.HeaderLen])
	}
	if hdr.Fragment != selector.NotFragment {
		return hdr
	}
	upper := pkt[hdr.Upper:hdr.TotalLen]
	sum := sum16(upper)
	if hdr.Protocol != selector.ProtoICMP {
		sum += pseudoSum(hdr.Src, hdr.Dst, hdr.Protocol, len(upper))
	}
	if fold(sum) != 0xffff {
		t.Errorf("checksum of protocol %d is wrong", hdr.Protocol)
	}
	return hdr
}

func parse(t *testing.T, pkt []byte) *selector.Packet {
	t.Helper()
	var hdr selector.Packet
	if err := selector.ParsePacket(pkt, &hdr); err != nil {
		t.Fatal(err)
	}
	return &hdr
}
