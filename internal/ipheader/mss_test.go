package ipheader_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/packettest"
)

func TestClampMSS(t *testing.T) {
	const syn, synAck, ack = 0x02, 0x12, 0x10
	mss := func(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte{2, 4}, n) }
	high := netip.AddrPortFrom(src4.Addr(), 40000) // larger than any MSS, were it one
	tests := []struct {
		name     string
		src, dst netip.AddrPort
		flags    byte
		options  []byte
		largest  int
		at, want int // offset of the MSS in the TCP header, value; 0: unchanged
	}{
		{"SYN over IPv4", src4, dst4, syn, mss(1460), 1398, 22, 1398},
		{"SYN over IPv6", src6, dst6, syn, mss(1440), 1378, 22, 1378},
		{"SYN-ACK", src4, dst4, synAck, mss(1460), 1360, 22, 1360},
		{"at an odd offset", src4, dst4, syn, append([]byte{1}, mss(1460)...), 1360, 23, 1360},
		{"behind two no-operations", src4, dst4, syn, append([]byte{1, 1}, mss(1460)...), 1360, 24, 1360},
		{"behind other options", src6, dst6, syn, append([]byte{4, 2, 3, 3, 7, 1}, mss(8940)...), 1340, 28, 1340},
		{"small enough", src4, dst4, syn, mss(1398), 1398, 0, 0},
		{"not a SYN", src4, dst4, ack, mss(1460), 1360, 0, 0},
		{"no option", high, dst4, syn, nil, 1360, 0, 0},
		{"after the end of options", high, dst4, syn, append([]byte{0, 0, 0, 0}, mss(1460)...), 1360, 0, 0},
		{"option of length 0", high, dst4, syn, append([]byte{9, 0}, mss(1460)...), 1360, 0, 0},
		{"option cut short", high, dst4, syn, []byte{1, 1, 2, 4}, 1360, 0, 0},
		{"no room for any", src4, dst4, syn, mss(1460), 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pkt := packettest.TCPPacket(tt.src, tt.dst, 1, tt.flags, tt.options, nil)
			before := bytes.Clone(pkt)
			tcp := pkt[packettest.Parse(t, pkt).Upper:]
			changed := ipheader.ClampMSS(tcp, tt.largest, true)
			if changed != (tt.want != 0) {
				t.Fatalf("changed = %v", changed)
			}
			if !changed {
				if !bytes.Equal(pkt, before) {
					t.Error("the packet is not as it was")
				}
				return
			}
			if got := binary.BigEndian.Uint16(tcp[tt.at:]); int(got) != tt.want {
				t.Errorf("MSS %d, want %d", got, tt.want)
			}
			packettest.CheckSums(t, pkt)
		})
	}
}

func TestClampLeavesPartialChecksum(t *testing.T) {
	tcp := packettest.TCPPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil)[20:]
	before := binary.BigEndian.Uint16(tcp[ipheader.TCPChecksum:])
	if !ipheader.ClampMSS(tcp, 1360, false) {
		t.Fatal("not clamped")
	}
	if got := binary.BigEndian.Uint16(tcp[ipheader.TCPChecksum:]); got != before {
		t.Error("the pseudo-header's sum was changed")
	}
}

// TestClampCutShort: every prefix of a SYN is left alone, and so is one whose data offset is beyond
// its end.
func TestClampCutShort(t *testing.T) {
	high := netip.AddrPortFrom(src4.Addr(), 40000)
	whole := packettest.TCPPacket(high, dst4, 1, 2, []byte{1, 1, 1, 1, 2, 4, 0x05, 0xb4}, nil)[20:]
	for n := range whole {
		if ipheader.ClampMSS(bytes.Clone(whole[:n]), 1360, true) {
			t.Errorf("clamped a TCP header of %d octets", n)
		}
	}
	whole[ipheader.TCPDataOffset] = 0xf0
	if ipheader.ClampMSS(whole, 1360, true) {
		t.Error("clamped a TCP header that ends beyond the packet")
	}
}
