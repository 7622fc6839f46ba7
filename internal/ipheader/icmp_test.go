package ipheader_test

import (
	"bytes"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/packettest"
)

func TestICMPErrors(t *testing.T) {
	tests := []struct {
		name      string
		e         ipheader.ICMPError
		pkt       []byte
		typ, code byte
		mtu       int
	}{
		{"fragmentation needed", ipheader.TooBig(1398), packettest.UDPPacket(src4, dst4, true, make([]byte, 1500)), 3, 4, 1398},
		{"packet too big", ipheader.TooBig(1398), packettest.UDPPacket(src6, dst6, true, make([]byte, 1501)), 2, 0, 1398},
		{"prohibited", ipheader.Prohibited(), packettest.UDPPacket(src4, dst4, true, []byte("dns")), 3, 13, 0},
		{"prohibited by IPv6", ipheader.Prohibited(), packettest.TCPPacket(src6, dst6, 9, 2, nil, nil), 1, 1, 0},
		{"about a ping", ipheader.Prohibited(), packettest.IPPacket(src4.Addr(), dst4.Addr(), 1, true, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}), 3, 13, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			icmp := tt.e.Append(nil, tt.pkt)
			typ, code, mtu := packettest.CheckICMPError(t, icmp, tt.pkt)
			if typ != tt.typ || code != tt.code || mtu != tt.mtu {
				t.Errorf("type %d code %d MTU %d, want %d %d %d", typ, code, mtu, tt.typ, tt.code, tt.mtu)
			}
		})
	}
}

// TestICMPErrorLength: an error quotes a short packet whole, and of a long one as much as it may.
// It is appended to what is there.
func TestICMPErrorLength(t *testing.T) {
	for _, tt := range []struct {
		pkt  []byte
		want int
	}{
		{packettest.UDPPacket(src4, dst4, true, make([]byte, 20)), 28 + 48},
		{packettest.UDPPacket(src4, dst4, true, make([]byte, 520)), 576},
		{packettest.UDPPacket(src4, dst4, true, make([]byte, 521)), 576},
		{packettest.UDPPacket(src6, dst6, true, make([]byte, 20)), 48 + 68},
		{packettest.UDPPacket(src6, dst6, true, make([]byte, 1184)), 1280},
		{packettest.UDPPacket(src6, dst6, true, make([]byte, 1185)), 1280},
	} {
		got := ipheader.TooBig(1300).Append([]byte("before"), tt.pkt)
		if string(got[:6]) != "before" || len(got)-6 != tt.want {
			t.Errorf("%d octets about %d, want %d", len(got)-6, len(tt.pkt), tt.want)
			continue
		}
		packettest.CheckICMPError(t, got[6:], tt.pkt)
	}
}

// TestICMPErrorLargeMTU: the field of IPv4 has 16 bits (RFC 1191, Section 4), that of IPv6 has 32.
func TestICMPErrorLargeMTU(t *testing.T) {
	pkt4, pkt6 := packettest.UDPPacket(src4, dst4, true, make([]byte, 20)), packettest.UDPPacket(src6, dst6, true, make([]byte, 20))
	if _, _, mtu := packettest.CheckICMPError(t, ipheader.TooBig(0x12345).Append(nil, pkt4), pkt4); mtu != 0xffff {
		t.Errorf("IPv4: %#x", mtu)
	}
	if _, _, mtu := packettest.CheckICMPError(t, ipheader.TooBig(0x12345).Append(nil, pkt6), pkt6); mtu != 0x12345 {
		t.Errorf("IPv6: %#x", mtu)
	}
}

// TestICMPErrorHeader: the IP header of an error is the same for all packets but for its length,
// its addresses and its checksum.
func TestICMPErrorHeader(t *testing.T) {
	pkt4, pkt6 := packettest.UDPPacket(src4, dst4, true, make([]byte, 20)), packettest.UDPPacket(src6, dst6, true, make([]byte, 20))
	// Version 4, five words, precedence 6, identification 0, DF, offset 0, TTL 64, ICMP.
	e4 := ipheader.Prohibited().Append(nil, pkt4)
	if want := []byte{0x45, 0xc0, 0, 76, 0, 0, 0x40, 0, 64, 1}; !bytes.Equal(e4[:10], want) {
		t.Errorf("IPv4: header % x, want % x", e4[:10], want)
	}
	if want := []byte{3, 13}; !bytes.Equal(e4[20:22], want) || !bytes.Equal(e4[24:28], make([]byte, 4)) {
		t.Errorf("IPv4: ICMP % x", e4[20:28])
	}
	// Version 6, no traffic class, no flow label, ICMPv6, hop limit 64.
	e6 := ipheader.Prohibited().Append(nil, pkt6)
	if want := []byte{0x60, 0, 0, 0, 0, 76, 58, 64}; !bytes.Equal(e6[:8], want) {
		t.Errorf("IPv6: header % x, want % x", e6[:8], want)
	}
	if want := []byte{1, 1}; !bytes.Equal(e6[40:42], want) || !bytes.Equal(e6[44:48], make([]byte, 4)) {
		t.Errorf("IPv6: ICMPv6 % x", e6[40:48])
	}
}
