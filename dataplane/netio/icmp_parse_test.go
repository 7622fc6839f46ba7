package netio

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
)

// quote returns a "too big" error about a packet with an upper layer.
func quote(v6 bool, mtu int, proto uint8, upper []byte) []byte {
	src, dst := addrOf("192.0.2.1"), addrOf("192.0.2.2")
	if v6 {
		src, dst = addrOf("2001:db8::1"), addrOf("2001:db8::2")
	}
	if v6 {
		b := []byte{2, 0, 0, 0}
		b = binary.BigEndian.AppendUint32(b, uint32(mtu))
		b = append(b, 0x60, 0, 0, 0, 5, 0, proto, 64)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		return append(b, upper...)
	}
	b := []byte{3, 4, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(mtu))
	b = append(b, 0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, proto, 0, 0)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return sealICMP(append(b, upper...))
}

// sealICMP sets the checksum of an ICMP message of IPv4.
func sealICMP(b []byte) []byte {
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[2:], ^ipheader.Sum(0, b))
	return b
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestParseTooBig(t *testing.T) {
	esp := []byte{0xc0, 0xff, 0xee, 1, 0, 0, 0, 9}
	udp := []byte{0x11, 0x94, 0x30, 0x39, 0, 100, 0, 0} // 4500 -> 12345
	for _, v6 := range []bool{false, true} {
		local, remote := addrOf("192.0.2.1"), addrOf("192.0.2.2")
		if v6 {
			local, remote = addrOf("2001:db8::1"), addrOf("2001:db8::2")
		}
		for _, tt := range []struct {
			name string
			in   []byte
			want TooBig
			ok   bool
		}{
			{"protocol 50", quote(v6, 1400, 50, esp), TooBig{ipsec.RawPath(local, remote), 0xc0ffee01, 1400}, true},
			{"the SPI alone", quote(v6, 1400, 50, esp[:4]), TooBig{ipsec.RawPath(local, remote), 0xc0ffee01, 1400}, true},
			{"half of the SPI", quote(v6, 1400, 50, esp[:3]), TooBig{ipsec.RawPath(local, remote), 0, 1400}, true},
			{"UDP", quote(v6, 1300, 17, append(udp[:8:8], esp...)),
				TooBig{ipsec.NATPath(at(local, 4500), at(remote, 12345)), 0xc0ffee01, 1300}, true},
			{"UDP of a router that quotes eight octets", quote(v6, 1300, 17, udp),
				TooBig{ipsec.NATPath(at(local, 4500), at(remote, 12345)), 0, 1300}, true},
			{"UDP cut short", quote(v6, 1300, 17, udp[:7]), TooBig{}, false},
			{"UDP of another port", quote(v6, 1300, 17, append([]byte{0x11, 0x95}, udp[2:]...)), TooBig{}, false},
			{"TCP", quote(v6, 1300, 6, udp), TooBig{}, false},
			{"nothing", nil, TooBig{}, false},
		} {
			got, ok := parseTooBig(tt.in, v6, 4500)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("v6=%t, %s: %+v, %t; want %+v, %t", v6, tt.name, got, ok, tt.want, tt.ok)
			}
		}
		whole := quote(v6, 1400, 50, nil)
		for n := range whole {
			if _, ok := parseTooBig(whole[:n], v6, 4500); ok {
				t.Errorf("v6=%t: %d octets of %d were taken for an error", v6, n, len(whole))
			}
		}
	}
}

// Rules of IPv4 alone: other codes, a bad checksum, options and fragments in the quote.
func TestParseTooBigIPv4(t *testing.T) {
	esp := []byte{0xc0, 0xff, 0xee, 1, 0, 0, 0, 9}
	change := func(f func(b []byte)) []byte {
		b := quote(false, 1400, 50, esp)
		f(b)
		return sealICMP(b)
	}
	options := change(func([]byte) {})
	options = append(append(append([]byte(nil), options[:8+20]...), 7, 4, 0, 0), esp...)
	options[8] = 0x46
	if got, ok := parseTooBig(sealICMP(options), false, 4500); !ok || got.SPI != 0xc0ffee01 {
		t.Errorf("options: %+v, %t", got, ok)
	}
	for name, b := range map[string][]byte{
		"host unreachable": change(func(b []byte) { b[1] = 1 }),
		"an echo":          change(func(b []byte) { b[0], b[1] = 8, 0 }),
		"a later fragment": change(func(b []byte) { b[8+7] = 1 }),
		"no IPv4":          change(func(b []byte) { b[8] = 0x65 }),
		"a short header":   change(func(b []byte) { b[8] = 0x44 }),
		"a long header":    change(func(b []byte) { b[8] = 0x4f }),
	} {
		if got, ok := parseTooBig(b, false, 4500); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
	bad := quote(false, 1400, 50, esp)
	bad[7]++
	if _, ok := parseTooBig(bad, false, 4500); ok {
		t.Error("a message with a wrong checksum was believed")
	}
}

func TestParsersTakeAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		v6 := rng.IntN(2) == 0
		b := quote(v6, rng.IntN(1<<16), []uint8{17, 50}[rng.IntN(2)], make([]byte, rng.IntN(12)))
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		b = b[:rng.IntN(len(b)+1)]
		parseTooBig(b, v6, 4500)
		if len(b) > 1 && rng.IntN(2) == 0 {
			b[0] = []byte{icmpUnreachable, icmp6Unreachable}[rng.IntN(2)]
		}
		parseUnreachable(b, v6, ports{4500, 0})
	}
}

// unreachable returns an ICMP message of a type and code that quotes a packet.
func unreachable(v6 bool, typ, code, proto uint8, upper []byte) []byte {
	b := quote(v6, 0, proto, upper)
	b[0], b[1] = typ, code
	if v6 {
		return b
	}
	return sealICMP(b)
}

func TestParseUnreachable(t *testing.T) {
	own := ports{ike: 500, nat: 4500}
	ike := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	esp := []byte{0xc0, 0xff, 0xee, 1}
	udp := func(from uint16, more ...byte) []byte {
		return append([]byte{byte(from >> 8), byte(from), 0x30, 0x39, 0, 100, 0, 0}, more...) // to port 12345
	}
	marked := append([]byte{0, 0, 0, 0}, ike...)
	for _, v6 := range []bool{false, true} {
		local, remote := addrOf("192.0.2.1"), addrOf("192.0.2.2")
		typ, port := uint8(icmpUnreachable), uint8(3)
		if v6 {
			local, remote = addrOf("2001:db8::1"), addrOf("2001:db8::2")
			typ, port = icmp6Unreachable, 4
		}
		byUDP, byNAT := ipsec.UDPPath(at(local, 500), at(remote, 12345)), ipsec.NATPath(at(local, 4500), at(remote, 12345))
		const spi = 0x0102030405060708
		for name, tt := range map[string]struct {
			in   []byte
			want ipsec.Unreachable // without a path: none
		}{
			"ESP":                    {unreachable(v6, typ, port, 50, esp), ipsec.Unreachable{Path: ipsec.RawPath(local, remote), ESP: 0xc0ffee01}},
			"ESP, half of the SPI":   {unreachable(v6, typ, port, 50, esp[:3]), ipsec.Unreachable{Path: ipsec.RawPath(local, remote)}},
			"IKE":                    {unreachable(v6, typ, port, 17, udp(500, ike...)), ipsec.Unreachable{Path: byUDP, IKE: spi}},
			"IKE, eight octets":      {unreachable(v6, typ, port, 17, udp(500)), ipsec.Unreachable{Path: byUDP}},
			"IKE, half of the SPI":   {unreachable(v6, typ, port, 17, udp(500, ike[:7]...)), ipsec.Unreachable{Path: byUDP}},
			"IKE, the marker's port": {unreachable(v6, typ, port, 17, udp(4500, marked...)), ipsec.Unreachable{Path: byNAT, IKE: spi}},
			"half of the marker":     {unreachable(v6, typ, port, 17, udp(4500, marked[:3]...)), ipsec.Unreachable{Path: byNAT}},
			"ESP in UDP":             {unreachable(v6, typ, port, 17, udp(4500, esp...)), ipsec.Unreachable{Path: byNAT, ESP: 0xc0ffee01}},
			"of another port":        {unreachable(v6, typ, port, 17, udp(501, ike...)), ipsec.Unreachable{}},
			"UDP cut short":          {unreachable(v6, typ, port, 17, udp(500)[:7]), ipsec.Unreachable{}},
			"TCP":                    {unreachable(v6, typ, port, 6, udp(500)), ipsec.Unreachable{}},
			"too big":                {quote(v6, 1400, 50, esp), ipsec.Unreachable{}},
			"an echo":                {unreachable(v6, 128, 0, 50, esp), ipsec.Unreachable{}},
			"an unknown code":        {unreachable(v6, typ, 77, 50, esp), ipsec.Unreachable{}},
			"nothing":                {nil, ipsec.Unreachable{}},
		} {
			got, ok := parseUnreachable(tt.in, v6, own)
			if tt.want.Path.IsValid() {
				tt.want.Why = ipsec.ObstaclePort
			}
			if ok != tt.want.Path.IsValid() || ok && got != tt.want {
				t.Errorf("v6=%t, %s: %+v, %t; want %+v", v6, name, got, ok, tt.want)
			}
		}
		whole := unreachable(v6, typ, port, 50, nil)
		for n := range whole {
			if _, ok := parseUnreachable(whole[:n], v6, own); ok {
				t.Errorf("v6=%t: %d octets of %d were taken for an error", v6, n, len(whole))
			}
		}
	}
}

// What each type and code says.
func TestObstacleOf(t *testing.T) {
	const net, host, protocol, port, prohibited, none = ipsec.ObstacleNet, ipsec.ObstacleHost, ipsec.ObstacleProtocol, ipsec.ObstaclePort, ipsec.ObstacleProhibited, ipsec.NoObstacle
	for code, want := range []ipsec.Obstacle{net, host, protocol, port, none, net, net, host, host, prohibited, prohibited, net, host, prohibited, prohibited, prohibited, none} {
		if got := obstacleOf(icmpUnreachable, uint8(code), false); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
	for code, want := range []ipsec.Obstacle{net, prohibited, host, host, port, prohibited, prohibited, none} {
		if got := obstacleOf(icmp6Unreachable, uint8(code), true); got != want {
			t.Errorf("code %d over IPv6: %v, want %v", code, got, want)
		}
	}
	for _, tt := range []struct {
		typ, code uint8
		v6        bool
		want      ipsec.Obstacle
	}{{icmp6Parameter, icmp6NextHeader, true, protocol}, {icmp6Parameter, 0, true, none}, {icmp6Parameter, 1, false, none}, {3, 1, true, none}, {1, 1, false, none}} {
		if got := obstacleOf(tt.typ, tt.code, tt.v6); got != tt.want {
			t.Errorf("type %d, code %d, v6=%t: %v, want %v", tt.typ, tt.code, tt.v6, got, tt.want)
		}
	}
}
