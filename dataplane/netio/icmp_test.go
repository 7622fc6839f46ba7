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

func TestParseTooBigTakesAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		v6 := rng.IntN(2) == 0
		b := quote(v6, rng.IntN(1<<16), []uint8{17, 50}[rng.IntN(2)], make([]byte, rng.IntN(12)))
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		parseTooBig(b[:rng.IntN(len(b)+1)], v6, 4500)
	}
}
