package packettest

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/selector"
)

// IPPacket returns a packet of the addresses' family around upper.
func IPPacket(src, dst netip.Addr, proto uint8, df bool, upper []byte) []byte {
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
		binary.BigEndian.PutUint16(b[10:], ^Fold(Sum16(b)))
		return append(b, upper...)
	}
	b := make([]byte, 40, 40+len(upper))
	b[0], b[6], b[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(upper)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, upper...)
}

// UDPPacket returns a UDP packet with right checksums.
func UDPPacket(src, dst netip.AddrPort, df bool, payload []byte) []byte {
	u := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(u, src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(8+len(payload)))
	u = append(u, payload...)
	binary.BigEndian.PutUint16(u[6:], ^Fold(PseudoSum(src.Addr(), dst.Addr(), 17, len(u))+Sum16(u)))
	return IPPacket(src.Addr(), dst.Addr(), 17, df, u)
}

// TCPPacket returns a TCP segment with right checksums.
func TCPPacket(src, dst netip.AddrPort, seq uint32, flags byte, options, payload []byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	h := make([]byte, 20, 20+len(options)+len(payload))
	binary.BigEndian.PutUint16(h, src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	binary.BigEndian.PutUint32(h[4:], seq)
	h[12], h[13] = byte(20+len(options))/4<<4, flags
	h = append(append(h, options...), payload...)
	binary.BigEndian.PutUint16(h[16:], ^Fold(PseudoSum(src.Addr(), dst.Addr(), 6, len(h))+Sum16(h)))
	return IPPacket(src.Addr(), dst.Addr(), 6, true, h)
}

// CheckSums fails the test unless every checksum of the packet is right: IPv4 header, TCP, UDP,
// ICMP, ICMPv6.
func CheckSums(t testing.TB, pkt []byte) selector.Packet {
	t.Helper()
	var hdr selector.Packet
	if err := selector.ParsePacket(pkt, &hdr); err != nil {
		t.Fatalf("%x: %v", pkt, err)
	}
	if hdr.TotalLen != len(pkt) {
		t.Errorf("%d octets of packet in %d", hdr.TotalLen, len(pkt))
	}
	if hdr.Version == 4 && Fold(Sum16(pkt[:hdr.HeaderLen])) != 0xffff {
		t.Errorf("IPv4 header checksum is wrong: %x", pkt[:hdr.HeaderLen])
	}
	if hdr.Fragment != selector.NotFragment {
		return hdr
	}
	upper := pkt[hdr.Upper:hdr.TotalLen]
	sum := Sum16(upper)
	if hdr.Protocol != selector.ProtoICMP {
		sum += PseudoSum(hdr.Src, hdr.Dst, hdr.Protocol, len(upper))
	}
	if Fold(sum) != 0xffff {
		t.Errorf("checksum of protocol %d is wrong", hdr.Protocol)
	}
	return hdr
}

// Parse returns the parsed headers of pkt, and fails the test if it cannot.
func Parse(t testing.TB, pkt []byte) *selector.Packet {
	t.Helper()
	var hdr selector.Packet
	if err := selector.ParsePacket(pkt, &hdr); err != nil {
		t.Fatal(err)
	}
	return &hdr
}
