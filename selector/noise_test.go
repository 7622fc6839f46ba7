package selector

import (
	"net/netip"
	"testing"
)

// packetBetween returns the headers of a UDP packet.
func packetBetween(src, dst string) *Packet {
	p := &Packet{Version: 4, Flow: Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: ProtoUDP}}
	if p.Src.Is6() {
		p.Version = 6
	}
	return p
}

func prefixes(list ...string) (out []Selector) {
	for _, s := range list {
		out = append(out, FromPrefix(netip.MustParsePrefix(s)))
	}
	return out
}

func TestIsNoise(t *testing.T) {
	for _, tt := range []struct {
		src, dst string
		want     bool
	}{
		{"10.1.0.1", "10.2.0.1", false},
		{"169.254.10.1", "169.254.10.2", false},
		{"10.1.0.1", "10.2.255.255", false}, // the broadcast of some network: nobody can tell
		{"10.1.0.1", "224.0.0.251", true},
		{"224.0.0.251", "10.1.0.1", true},
		{"10.1.0.1", "255.255.255.255", true},
		{"255.255.255.255", "10.1.0.1", true},
		{"10.1.0.1", "0.0.0.0", true},
		{"0.0.0.0", "10.1.0.1", true},
		{"2001:db8::1", "2001:db8::2", false},
		{"2001:db8::1", "ff0e::1", true},
		{"ff0e::1", "2001:db8::1", true},
		{"::", "2001:db8::1", true},
		{"2001:db8::1", "::", true},
		{"fe80::1", "2001:db8::1", true},
		{"2001:db8::1", "fe80::1", true},
	} {
		if got := packetBetween(tt.src, tt.dst).IsNoise(); got != tt.want {
			t.Errorf("%s to %s: %v, want %v", tt.src, tt.dst, got, tt.want)
		}
	}
}

func TestNoiseIsNamed(t *testing.T) {
	any4, any6 := prefixes("0.0.0.0/0"), prefixes("::/0")
	for _, tt := range []struct {
		src, dst string
		from, to []Selector
		want     bool
	}{
		{"10.1.0.1", "224.0.0.251", any4, prefixes("10.0.0.0/8", "224.0.0.0/24"), true},
		{"10.1.0.1", "224.0.0.251", any4, any4, false},
		{"10.1.0.1", "224.0.0.251", any4, prefixes("224.0.1.0/24"), false},
		{"10.1.0.1", "224.0.0.251", any4, prefixes("192.0.0.0/2"), false}, // unicast addresses as well
		{"10.1.0.1", "255.255.255.255", any4, prefixes("255.255.255.255/32"), true},
		{"224.0.0.1", "224.0.0.251", prefixes("224.0.0.0/4"), prefixes("224.0.0.0/4"), false},
		{"0.0.0.0", "224.0.0.251", prefixes("0.0.0.0/32"), prefixes("224.0.0.0/4"), false},
		{"10.1.0.1", "0.0.0.0", any4, prefixes("0.0.0.0/32"), false},
		{"2001:db8::1", "ff02::5", any6, prefixes("ff00::/8"), true},
		{"fe80::1", "ff02::5", any6, prefixes("ff00::/8"), false},
		{"fe80::1", "ff02::5", prefixes("fe80::/10"), prefixes("ff00::/8"), true},
		{"fe80::1", "ff02::5", prefixes("fe80::/10"), any6, false},
		{"2001:db8::1", "fe80::1", any6, prefixes("fe80::/64"), true},
		{"fe80::1", "2001:db8::1", prefixes("fe80::/64"), any6, true},
	} {
		if got := packetBetween(tt.src, tt.dst).NoiseIsNamed(tt.from, tt.to); got != tt.want {
			t.Errorf("%s in %v to %s in %v: %v, want %v", tt.src, tt.from, tt.dst, tt.to, got, tt.want)
		}
	}
}

// TestSelectorsOfNoise: selectors that hold some noise, and those that hold nothing else.
func TestSelectorsOfNoise(t *testing.T) {
	for _, tt := range []struct {
		selector       string
		matches, names bool
	}{
		{"10.0.0.0/8", false, false},
		{"169.254.0.0/16", false, false},
		{"2001:db8::/32", false, false},
		{"0.0.0.0/0", true, false},
		{"::/0", true, false},
		{"0.0.0.0/8", true, false},
		{"0.0.0.0/32", true, false},
		{"224.0.0.0/3", true, true}, // 240.0.0.0/4 is reserved (RFC 1112, Section 4)
		{"224.0.0.0/4", true, true},
		{"239.1.2.3/32", true, true},
		{"255.255.255.255/32", true, true},
		{"255.255.255.254/31", true, false},
		{"fe80::/9", true, false},
		{"fe80::/10", true, true},
		{"ff02::1/128", true, true},
		{"::/127", true, false},
	} {
		list := append(prefixes("192.0.2.0/24"), prefixes(tt.selector)...)
		if got := MatchNoise(list); got != tt.matches {
			t.Errorf("%s matches noise: %v, want %v", tt.selector, got, tt.matches)
		}
		if got := NamesNoise(list); got != tt.names {
			t.Errorf("%s names noise: %v, want %v", tt.selector, got, tt.names)
		}
	}
	if MatchNoise(nil) || NamesNoise(nil) {
		t.Error("no selectors match or name noise")
	}
}
