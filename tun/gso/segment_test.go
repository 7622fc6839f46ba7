package gso

import (
	"bytes"
	"testing"

	"culvert/internal/packettest"
)

// TestSegment: what of a packet is header and what is payload, and whether its checksums are right.
func TestSegment(t *testing.T) {
	for name, tt := range map[string]struct {
		packettest.Sample
		start, data int
	}{
		"TCP over IPv4": {packettest.Sample{TCPOptions: 12, ID: 7}, 20, 52},
		"TCP over IPv6": {packettest.Sample{V6: true}, 40, 60},
		"UDP over IPv4": {packettest.Sample{UDP: true, ID: 7}, 20, 28},
		"UDP over IPv6": {packettest.Sample{V6: true, UDP: true}, 40, 48},
	} {
		tt.Payload = packettest.RandomBytes(33)
		pkt := tt.Build()
		var s segment
		if !s.parse(pkt, packettest.Parse(t, pkt)) {
			t.Fatalf("%s: refused", name)
		}
		if s.start != tt.start || s.data != tt.data || s.len() != 33 || s.hdrLen() != tt.data-tt.start || !bytes.Equal(s.payload(), tt.Payload) || s.udp != tt.UDP || s.v6 != tt.V6 {
			t.Errorf("%s: %+v, payload %x", name, s, s.payload())
		}
		if !tt.V6 && s.id() != 7 {
			t.Errorf("%s: identification %d", name, s.id())
		}
		if !s.intact() {
			t.Errorf("%s: right checksums are wrong", name)
		}
		for at := range pkt {
			if tt.V6 && at < 8 && at != 5 { // no checksum covers these; 5 is the length
				continue
			}
			if pkt[at] ^= 0x10; s.intact() && at != 5 {
				t.Errorf("%s: a damage at %d is not seen", name, at)
			}
			pkt[at] ^= 0x10
		}
	}
}

// TestSegmentRefuses: packets that are never gathered.
func TestSegmentRefuses(t *testing.T) {
	tcp, udp := packettest.Sample{Payload: []byte("data")}, packettest.Sample{UDP: true, Payload: []byte("data")}
	empty, nothing := packettest.Sample{}, packettest.Sample{UDP: true}
	for name, pkt := range map[string][]byte{
		"TCP without payload": empty.Build(),
		"UDP without payload": nothing.Build(),
		"IPv4 options":        packettest.Sample{IPOptions: 4, Payload: []byte("data")}.Build(),
		"an extension header": packettest.Sample{V6: true, IPOptions: 8, Payload: []byte("data")}.Build(),
		"the reserved bit":    edited(tcp.Build(), 6, 0x80),
		"a header too short":  edited(tcp.Build(), 32, 0x40),
		"a header to the end": edited(tcp.Build(), 32, 0x60),
		"a header beyond":     edited(tcp.Build(), 32, 0xf0),
		"SYN":                 edited(tcp.Build(), 33, 0x02),
		"CWR":                 edited(tcp.Build(), 33, 0x80),
		"UDP length":          edited(udp.Build(), 25, 11),
		"no UDP checksum":     edited(edited(udp.Build(), 26, 0), 27, 0),
		"another protocol":    edited(tcp.Build(), 9, 47),
	} {
		var s segment
		if s.parse(pkt, packettest.Parse(t, pkt)) {
			t.Errorf("%s: taken for a segment", name)
		}
	}
}

func edited(pkt []byte, at int, v byte) []byte {
	pkt[at] = v
	return pkt
}

// TestSegmentPseudo: the pseudo-header's sum is that of RFC 9293, Section 3.1 and RFC 768.
func TestSegmentPseudo(t *testing.T) {
	for _, sample := range []packettest.Sample{{}, {UDP: true}, {V6: true}, {V6: true, UDP: true}} {
		sample.Payload = []byte("data")
		pkt := sample.Build()
		hdr := packettest.Parse(t, pkt)
		var s segment
		s.parse(pkt, hdr)
		if got, want := s.pseudo(1234), packettest.Fold(packettest.PseudoSum(hdr.Src, hdr.Dst, hdr.Protocol, 1234)); got != want {
			t.Errorf("%+v: %#x, want %#x", sample, got, want)
		}
	}
}
