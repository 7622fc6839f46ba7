package protect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestOpened(t *testing.T) {
	start := []Policy{
		policy("a", prefixes("10.1.0.0/24", "fd01::/64"), prefixes("10.2.0.0/16", "fd02::/64"), nil),
		policy("b", prefixes("10.1.0.0/16"), prefixes("10.2.7.0/24", "10.3.0.0/24"), nil),
	}
	for _, tt := range []struct {
		name string
		set  []Policy
		gone []ID
		want string
	}{
		{"nothing", start[:1], nil, "[]"},
		{"a child goes", nil, []ID{id("b")}, "[{[10.1.0.0/16] [10.2.7.0/24 10.3.0.0/24]}]"},
		{"a child goes, another has a part of it", nil, []ID{id("a")},
			"[{[10.1.0.0/24] [10.2.0.0/22 10.2.4.0/23 10.2.6.0/24 10.2.8.0/21 10.2.16.0/20 10.2.32.0/19 10.2.64.0/18 10.2.128.0/17]} {[fd01::/64] [fd02::/64]}]"},
		{"a local network more", []Policy{policy("b", prefixes("10.1.0.0/16", "10.9.0.0/16"), prefixes("10.2.7.0/24", "10.3.0.0/24"), nil)}, nil, "[]"},
		{"a bypass", []Policy{policy("b", prefixes("10.1.0.0/16"), prefixes("10.2.7.0/24", "10.3.0.0/24"), prefixes("10.3.0.128/25"))}, nil, "[{[10.1.0.0/16] [10.3.0.128/25]}]"},
		{"another remote network", []Policy{policy("b", prefixes("10.1.0.0/16"), prefixes("10.2.7.0/24", "10.3.0.0/25"), nil)}, nil, "[{[10.1.0.0/16] [10.3.0.128/25]}]"},
	} {
		s := NewSet()
		s.Change(start, nil)
		if got := fmt.Sprint(s.Opened(s.Change(tt.set, tt.gone))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRangeArithmetic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, byte(i)}) }
	some := func() (in [256]bool, list []Range) {
		for i := rng.IntN(40); i < 256; i += 2 + rng.IntN(60) {
			end := min(i+rng.IntN(50), 255)
			for j := i; j <= end; j++ {
				in[j] = true
			}
			list = append(list, Range{at(i), at(end)})
			i = end
		}
		return in, list
	}
	for range 500 {
		inA, a := some()
		inB, b := some()
		var in [256]bool
		for _, r := range without(a, b) {
			for _, p := range r.Prefixes() {
				for x := p.Addr(); x.IsValid() && p.Contains(x); x = x.Next() {
					in[x.As4()[3]] = true
				}
			}
		}
		for i := range in {
			if in[i] != (inA[i] && !inB[i]) {
				t.Fatalf("%v without %v is %v: %s is wrong", a, b, without(a, b), at(i))
			}
		}
	}
	for text, r := range map[string]Range{
		"[0.0.0.0/0]":                           {netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255")},
		"[::/0]":                                RangeOf(netip.MustParsePrefix("::/0")),
		"[10.0.0.1/32 10.0.0.2/31 10.0.0.4/32]": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.4")},
	} {
		if got := fmt.Sprint(r.Prefixes()); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
	if !slices.Equal(without([]Range{RangeOf(netip.MustParsePrefix("::/0"))}, nil), []Range{RangeOf(netip.MustParsePrefix("::/0"))}) {
		t.Error("without nothing it is another")
	}
}
