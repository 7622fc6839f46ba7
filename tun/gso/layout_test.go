package gso

import (
	"testing"

	"culvert/internal/packettest"
)

// TestLayout: where the headers begin and end, with and without options and extension headers; and
// every prefix of a packet that ends within its headers is refused.
func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		name string
		packettest.Sample
		want layout
	}{
		{"TCP over IPv4", packettest.Sample{}, layout{proto: protoTCP, start: 20, payload: 40}},
		{"TCP over IPv4, options", packettest.Sample{IPOptions: 8, TCPOptions: 12}, layout{proto: protoTCP, start: 28, payload: 60}},
		{"UDP over IPv4", packettest.Sample{UDP: true, IPOptions: 40}, layout{proto: protoUDP, start: 60, payload: 68}},
		{"TCP over IPv6", packettest.Sample{V6: true, TCPOptions: 40}, layout{v6: true, proto: protoTCP, start: 40, payload: 100}},
		{"UDP over IPv6", packettest.Sample{V6: true, UDP: true}, layout{v6: true, proto: protoUDP, start: 40, payload: 48}},
		{"TCP over IPv6, an extension header", packettest.Sample{V6: true, IPOptions: 16}, layout{v6: true, proto: protoTCP, start: 56, payload: 76}},
	} {
		tt.Payload = []byte("data")
		pkt := tt.Build()
		var got layout
		if err := got.parse(pkt); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
		for n := range tt.want.payload {
			got = layout{start: -1}
			if err := got.parse(pkt[:n:n]); err == nil {
				t.Errorf("%s: its first %d octets have a payload", tt.name, n)
			} else if got != (layout{start: -1}) {
				t.Errorf("%s: its first %d octets set %+v", tt.name, n, got)
			}
		}
		if err := got.parse(pkt[:tt.want.payload]); err != nil {
			t.Errorf("%s without a payload: %v", tt.name, err)
		}
	}
}

// TestLayoutOfOthers: other versions, protocols and fragments have no layout.
func TestLayoutOfOthers(t *testing.T) {
	for name, spoil := range map[string]func(p []byte){
		"version 5":                func(p []byte) { p[0] = 0x55 },
		"header of 16 octets":      func(p []byte) { p[0] = 0x44 },
		"ICMP":                     func(p []byte) { p[9] = 1 },
		"a first fragment":         func(p []byte) { p[6] = 0x20 },
		"a later fragment":         func(p []byte) { p[7] = 1 },
		"a TCP header of 16":       func(p []byte) { p[32] = 0x40 },
		"a TCP header too long":    func(p []byte) { p[32] = 0xf0 },
		"an IP header to the end":  func(p []byte) { p[0] = 0x4f },
		"an offset of 8192 octets": func(p []byte) { p[6] = 4 },
	} {
		pkt := packettest.Sample{Payload: []byte("data")}.Build()
		spoil(pkt)
		if err := new(layout).parse(pkt); err == nil {
			t.Errorf("%s has a layout", name)
		}
	}
}

func TestChecksumOffset(t *testing.T) {
	if tcp, udp := (&layout{proto: protoTCP}).csumOffset(), (&layout{proto: protoUDP}).csumOffset(); tcp != 16 || udp != 6 {
		t.Errorf("TCP %d, UDP %d, want 16 and 6 (RFC 9293, Section 3.1; RFC 768)", tcp, udp)
	}
}
