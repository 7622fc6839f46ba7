package netlab

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// octets decodes hexadecimal digits, which may be separated by blanks.
func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers of the tests' packets.
const (
	mac   = "020000000001 020000000002 "
	v4    = mac + "0800 "
	v6    = mac + "86dd "
	from1 = "c0000201 c0000202 "                                                  // 192.0.2.1 to 192.0.2.2
	from6 = "20010db8000000000000000000000001 20010db8000000000000000000000002 "  // 2001:db8::1 to 2001:db8::2
	in4   = "4500 0054 0001 4000 3f 06 0000 0a010001 0a020001 1234 0050 00000000" // TCP 10.1.0.1 to 10.2.0.1
	in6   = "6000 0000 0008 11 3f fd010000000000000000000000000001 fd020000000000000000000000000001 01f4 1194 0008 0000"
)

func TestParseFrame(t *testing.T) {
	for _, tt := range []struct {
		name, frame string
		want        string // source, destination, protocol, ports and ICMP type, then those of the quotation; empty: not IP
	}{
		{"ARP", mac + "0806 0001 0800 0604 0001 020000000001 0a010001 000000000000 0a020001", ""},
		{"UDP", v4 + "4500 001c 0000 0000 40 11 0000 " + from1 + "01f4 1194 0008 0000", "192.0.2.1 192.0.2.2 17 500 4500 0"},
		{"UDP behind options", v4 + "4600 0020 0000 0000 40 11 0000 " + from1 + "94040000 01f4 1194 0008 0000", "192.0.2.1 192.0.2.2 17 500 4500 0"},
		{"the first fragment", v4 + "4500 001c 0000 2000 40 11 0000 " + from1 + "01f4 1194 0008 0000", "192.0.2.1 192.0.2.2 17 500 4500 0"},
		{"a later fragment", v4 + "4500 001c 0000 0001 40 11 0000 " + from1 + "01f4 1194 0008 0000", "192.0.2.1 192.0.2.2 17 0 0 0"},
		{"a header without its octets", v4 + "4f00 001c 0000 0000 40 11 0000 " + from1 + "01f4 1194 0008 0000", "192.0.2.1 192.0.2.2 17 0 0 0"},
		{"a header too short to be one", v4 + "4400 001c 0000 0000 40 11 0000 " + from1 + "01f4 1194 0008 0000", "192.0.2.1 192.0.2.2 17 0 0 0"},
		{"ESP", v4 + "4500 001c 0000 0000 40 32 0000 " + from1 + "00001001 00000001", "192.0.2.1 192.0.2.2 50 0 0 0"},
		{"echo", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0800 0000 0000 0000 " + in4, "192.0.2.1 192.0.2.2 1 0 0 8"},
		{"unreachable", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0304 0000 0000 05dc " + in4, "192.0.2.1 192.0.2.2 1 0 0 3, 10.1.0.1 10.2.0.1 6 4660 80 0"},
		{"source quench", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0400 0000 0000 0000 " + in4, "192.0.2.1 192.0.2.2 1 0 0 4, 10.1.0.1 10.2.0.1 6 4660 80 0"},
		{"redirect", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0501 0000 c0000203 " + in4, "192.0.2.1 192.0.2.2 1 0 0 5, 10.1.0.1 10.2.0.1 6 4660 80 0"},
		{"time exceeded", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0b00 0000 0000 0000 " + in4, "192.0.2.1 192.0.2.2 1 0 0 11, 10.1.0.1 10.2.0.1 6 4660 80 0"},
		{"parameter problem", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0c00 0000 0000 0000 " + in4, "192.0.2.1 192.0.2.2 1 0 0 12, 10.1.0.1 10.2.0.1 6 4660 80 0"},
		{"an error that quotes an error", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0b00 0000 0000 0000 4500 0038 0000 0000 40 01 0000 " + from1 + "0b00 0000 0000 0000 " + in4,
			"192.0.2.1 192.0.2.2 1 0 0 11, 192.0.2.1 192.0.2.2 1 0 0 11"},
		{"an error that quotes little", v4 + "4500 0038 0000 0000 40 01 0000 " + from1 + "0b00 0000 0000 0000 4500 0054 0001 4000", "192.0.2.1 192.0.2.2 1 0 0 11"},
		{"UDP over IPv6", v6 + "6000 0000 0008 11 40 " + from6 + "01f4 1194 0008 0000", "2001:db8::1 2001:db8::2 17 500 4500 0"},
		{"every extension header", v6 + "6000 0000 0050 00 40 " + from6 +
			"2b00 000000000000 3c01 0000 00000000 0000000000000000 8700 000000000000 8b00 000000000000 8c00 000000000000 3300 000000000000 2c01 0000 00000000 0000 0000 1100 0001 00000007 01f4 1194 0008 0000",
			"2001:db8::1 2001:db8::2 17 500 4500 0"},
		{"a later fragment of IPv6", v6 + "6000 0000 0010 2c 40 " + from6 + "1100 0008 00000007 01f4 1194 0008 0000", "2001:db8::1 2001:db8::2 17 0 0 0"},
		{"an extension header cut off", v6 + "6000 0000 0010 3c 40 " + from6 + "1102 0000 00000000 01f4 1194 0008 0000", "2001:db8::1 2001:db8::2 60 0 0 0"},
		{"ESP over IPv6 behind options", v6 + "6000 0000 0010 3c 40 " + from6 + "3200 0000 00000000 00001001 00000001", "2001:db8::1 2001:db8::2 50 0 0 0"},
		{"echo over IPv6", v6 + "6000 0000 0010 3a 40 " + from6 + "8000 0000 0000 0000 " + in6, "2001:db8::1 2001:db8::2 58 0 0 128"},
		{"the last kind of ICMPv6 error", v6 + "6000 0000 0010 3a 40 " + from6 + "7f00 0000 0000 0000 " + in6, "2001:db8::1 2001:db8::2 58 0 0 127, fd01::1 fd02::1 17 500 4500 0"},
		{"packet too big behind options", v6 + "6000 0000 0010 3c 40 " + from6 + "3a00 000000000000 0200 0000 0000 0500 " + in6, "2001:db8::1 2001:db8::2 58 0 0 2, fd01::1 fd02::1 17 500 4500 0"},
		{"redirect with its packet", v6 + "6000 0000 0010 3a 40 " + from6 + "8900 0000 0000 0000 fe800000000000000000000000000002 fd020000000000000000000000000001 0201 020000000001 0407 000000000000 " + in6,
			"2001:db8::1 2001:db8::2 58 0 0 137, fd01::1 fd02::1 17 500 4500 0"},
		{"redirect without a packet", v6 + "6000 0000 0010 3a 40 " + from6 + "8900 0000 0000 0000 fe800000000000000000000000000002 fd020000000000000000000000000001 0200 020000000001 0407",
			"2001:db8::1 2001:db8::2 58 0 0 137, invalid IP fd02::1 0 0 0 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame := octets(t, tt.frame)
			p, ok := ParseFrame(frame)
			got := ""
			if ok {
				got = show(&p)
				if p.Quoted != nil {
					got += ", " + show(p.Quoted)
				}
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			for n := range frame { // a truncated frame is not taken for another packet
				if q, ok := ParseFrame(frame[:n]); ok && (q.Src != p.Src || q.Dst != p.Dst || q.Quoted != nil && p.Quoted == nil) {
					t.Errorf("%d octets of it are %s", n, show(&q))
				}
			}
		})
	}
}

func show(p *Packet) string {
	return fmt.Sprint(p.Src, p.Dst, " ", p.Protocol, p.SrcPort, p.DstPort, p.ICMPType)
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte(strings.Repeat("\x00", 80)))
	f.Fuzz(func(t *testing.T, ip []byte) {
		for _, kind := range []uint16{etherTypeIPv4, etherTypeIPv6} {
			frame := binary.BigEndian.AppendUint16(make([]byte, 12), kind)
			ParseFrame(append(frame, ip...)) // it does not panic, and it ends
		}
	})
}
