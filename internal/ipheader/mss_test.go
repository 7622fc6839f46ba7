package dataplane

import (
	"bytes"
	"culvert/internal/ipheader"
	"encoding/binary"
	"net/netip"
	"testing"
)

var (
	src4 = netip.MustParseAddrPort("10.1.0.1:1025")
	dst4 = netip.MustParseAddrPort("10.2.0.1:443")
	src6 = netip.MustParseAddrPort("[2001:db8:1::1]:1025")
	dst6 = netip.MustParseAddrPort("[2001:db8:2::1]:443")
)

func TestClampMSS(t *testing.T) {
	const syn, synAck, ack = 0x02, 0x12, 0x10
	mss := func(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte{2, 4}, n) }
	tests := []struct {
		name     string
		src, dst netip.AddrPort
		flags    byte
		options  []byte
		mtu      int
		at, want int // offset of the MSS in the TCP header, value; 0: unchanged
	}{
		{"SYN over IPv4", src4, dst4, syn, mss(1460), 1438, 22, 1398},
		{"SYN over IPv6", src6, dst6, syn, mss(1440), 1438, 22, 1378},
		{"SYN-ACK", src4, dst4, synAck, mss(1460), 1400, 22, 1360},
		{"at an odd offset", src4, dst4, syn, append([]byte{1}, mss(1460)...), 1400, 23, 1360},
		{"behind other options", src6, dst6, syn, append([]byte{4, 2, 3, 3, 7, 1}, mss(8940)...), 1400, 28, 1340},
		{"small enough", src4, dst4, syn, mss(1398), 1438, 0, 0},
		{"not a SYN", src4, dst4, ack, mss(1460), 1400, 0, 0},
		{"no option", src4, dst4, syn, nil, 1400, 0, 0},
		{"after the end of options", src4, dst4, syn, append([]byte{0, 0, 0, 0}, mss(1460)...), 1400, 0, 0},
		{"option of length 0", src4, dst4, syn, append([]byte{9, 0}, mss(1460)...), 1400, 0, 0},
		{"option cut short", src4, dst4, syn, []byte{1, 1, 2, 4}, 1400, 0, 0},
		{"MTU too small for any", src4, dst4, syn, mss(1460), 40, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pkt := tcpPacket(tt.src, tt.dst, 1, tt.flags, tt.options, nil)
			before := bytes.Clone(pkt)
			hdr := parse(t, pkt)
			changed := clampMSS(pkt, hdr, tt.mtu, true)
			if changed != (tt.want != 0) {
				t.Fatalf("changed = %v", changed)
			}
			if !changed {
				if !bytes.Equal(pkt, before) {
					t.Error("the packet is not as it was")
				}
				return
			}
			if got := binary.BigEndian.Uint16(pkt[hdr.Upper+tt.at:]); int(got) != tt.want {
				t.Errorf("MSS %d, want %d", got, tt.want)
			}
			checkSums(t, pkt)
		})
	}
}

func TestClampLeavesPartialChecksum(t *testing.T) {
	pkt := tcpPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil)
	hdr := parse(t, pkt)
	before := binary.BigEndian.Uint16(pkt[hdr.Upper+ipheader.TCPChecksum:])
	if !clampMSS(pkt, hdr, 1400, false) {
		t.Fatal("not clamped")
	}
	if got := binary.BigEndian.Uint16(pkt[hdr.Upper+ipheader.TCPChecksum:]); got != before {
		t.Error("the pseudo-header's sum was changed")
	}
}

func TestClampOddPackets(t *testing.T) {
	short := ipPacket(src4.Addr(), dst4.Addr(), 6, true, make([]byte, 12))
	if clampMSS(short, parse(t, short), 1400, true) {
		t.Error("clamped a TCP header of 12 octets")
	}
	long := tcpPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil)
	long[20+ipheader.TCPDataOffset] = 0xf0 // a data offset beyond the packet
	if clampMSS(long, parse(t, long), 1400, true) {
		t.Error("clamped a TCP header that ends beyond the packet")
	}
	udp := udpPacket(src4, dst4, true, make([]byte, 40))
	if clampMSS(udp, parse(t, udp), 100, true) {
		t.Error("clamped UDP")
	}
}
