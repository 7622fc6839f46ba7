package gso

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"culvert/internal/packettest"
)

func FuzzParseVnet(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte{1, 1, 0, 0, 0xe8, 3, 20, 0, 16, 0}, s.Build())
	}
	f.Fuzz(func(t *testing.T, hdr, data []byte) {
		if len(hdr) < VnetLen {
			return
		}
		p := Packet{Data: bytes.Clone(data)}
		if ParseVnet(hdr, &p) != nil {
			return
		}
		if p.GSO != None && (p.SegSize == 0 || int(p.HdrLen)+int(p.SegSize) >= len(p.Data)) {
			t.Fatalf("an impossible super-packet: %+v", p)
		}
		var seg Segmenter
		if err := seg.Reset(&p); err != nil && p.GSO != None && p.HdrLen <= maxHeader && int(p.HdrLen)+int(p.SegSize) <= MaxPacket {
			t.Fatalf("read as a super-packet but cannot be cut: %v", err)
		}
		for seg.Next() != nil {
		}
	})
}

// TestParseVnet: the kinds of super-packet that a header may name, if the packet is one.
func TestParseVnet(t *testing.T) {
	header := func(flags, kind byte, size, start, offset uint16) []byte {
		h := []byte{flags, kind, 0xff, 0xff} // hdr_len is only a hint
		for _, v := range []uint16{size, start, offset} {
			h = binary.NativeEndian.AppendUint16(h, v)
		}
		return h
	}
	data := packettest.RandomBytes(3000)
	tcp4, tcp6 := packettest.Sample{Payload: data}.Build(), packettest.Sample{V6: true, Payload: data}.Build()
	udp4, udp6 := packettest.Sample{UDP: true, Payload: data}.Build(), packettest.Sample{V6: true, UDP: true, Payload: data}.Build()
	for _, tt := range []struct {
		name string
		h    []byte
		data []byte
		want Packet
		err  error
	}{
		{"whole", header(0, 0, 0, 0, 0), tcp4, Packet{}, nil},
		{"partial checksum", header(1, 0, 0, 20, 16), tcp4, Packet{NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}, nil},
		{"checksum at the end", header(1, 0, 0, 20, uint16(len(tcp4)-22)), tcp4, Packet{NeedsChecksum: true, CsumStart: 20, CsumOffset: uint16(len(tcp4) - 22)}, nil},
		{"checksum beyond the end", header(1, 0, 0, 20, uint16(len(tcp4)-21)), tcp4, Packet{}, errMalformed},
		{"TCP over IPv4", header(1, 1, 1000, 20, 16), tcp4, Packet{GSO: TCPv4, SegSize: 1000, HdrLen: 40, NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}, nil},
		{"TCP with CWR", header(1, 0x81, 1000, 20, 16), tcp4, Packet{GSO: TCPv4, SegSize: 1000, HdrLen: 40, NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}, nil},
		{"TCP over IPv6", header(1, 4, 1000, 40, 16), tcp6, Packet{GSO: TCPv6, SegSize: 1000, HdrLen: 60, NeedsChecksum: true, CsumStart: 40, CsumOffset: 16}, nil},
		{"UDP over IPv4", header(1, 5, 1000, 20, 6), udp4, Packet{GSO: UDP, SegSize: 1000, HdrLen: 28, NeedsChecksum: true, CsumStart: 20, CsumOffset: 6}, nil},
		{"UDP over IPv6", header(1, 5, 1000, 40, 6), udp6, Packet{GSO: UDP, SegSize: 1000, HdrLen: 48, NeedsChecksum: true, CsumStart: 40, CsumOffset: 6}, nil},
		{"one segment and an octet", header(1, 1, 2999, 20, 16), tcp4, Packet{GSO: TCPv4, SegSize: 2999, HdrLen: 40, NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}, nil},
		{"one segment", header(1, 1, 3000, 20, 16), tcp4, Packet{NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}, nil},
		{"no segment size", header(1, 1, 0, 20, 16), tcp4, Packet{}, errMalformed},
		{"no checksum", header(0, 1, 1000, 20, 16), tcp4, Packet{}, errMalformed},
		{"checksum elsewhere", header(1, 1, 1000, 24, 16), tcp4, Packet{}, errMalformed},
		{"another field", header(1, 1, 1000, 20, 18), tcp4, Packet{}, errMalformed},
		{"IPv6 called IPv4", header(1, 1, 1000, 40, 16), tcp6, Packet{}, errUnknownGSO},
		{"IPv4 called IPv6", header(1, 4, 1000, 20, 16), tcp4, Packet{}, errUnknownGSO},
		{"UDP called TCP", header(1, 1, 1000, 20, 6), udp4, Packet{}, errUnknownGSO},
		{"UDP called TCP over IPv6", header(1, 4, 1000, 40, 6), udp6, Packet{}, errUnknownGSO},
		{"TCP called UDP", header(1, 5, 1000, 20, 16), tcp4, Packet{}, errUnknownGSO},
		{"the old UDP fragmentation", header(1, 3, 1000, 20, 6), udp4, Packet{}, errUnknownGSO},
		{"a fragment", header(1, 1, 1000, 20, 16), append([]byte{0x45, 0, 0, 60, 0, 0, 0x20}, tcp4[7:]...), Packet{}, errNotTransport},
	} {
		p := Packet{Data: tt.data, GSO: UDP, SegSize: 7, HdrLen: 7}
		if err := ParseVnet(tt.h, &p); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if p.Data = nil; tt.err == nil && !reflect.DeepEqual(p, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, p, tt.want)
		}
	}
}
