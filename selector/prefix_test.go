package selector

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestPrefix: a range is a network if it is all of one.
func TestPrefix(t *testing.T) {
	for _, tt := range []struct{ first, last, want string }{
		{"10.0.0.0", "10.255.255.255", "10.0.0.0/8"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.7/32"},
		{"10.0.0.2", "10.0.0.3", "10.0.0.2/31"},
		{"10.0.0.1", "10.0.0.2", ""},
		{"10.0.0.0", "10.0.0.2", ""},
		{"10.0.0.1", "10.0.0.3", ""},
		{"10.0.0.3", "10.0.0.2", ""},
		{"2001:db8::", "2001:db8::ffff", "2001:db8::/112"},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"},
		{"2001:db8::", "2001:db8::1:0", ""},
		{"10.0.0.2", "::1", ""},
	} {
		s := Selector{Start: netip.MustParseAddr(tt.first), End: netip.MustParseAddr(tt.last)}
		p, ok := s.Prefix()
		if ok != (tt.want != "") || ok && p.String() != tt.want {
			t.Errorf("%s to %s: %v, %v, want %q", tt.first, tt.last, p, ok, tt.want)
		}
	}
	if _, ok := (Selector{}).Prefix(); ok {
		t.Error("the zero selector is a network")
	}
}

// TestUnmapPrefix: a mapped prefix becomes one of IPv4, unless it holds more than mapped addresses.
func TestUnmapPrefix(t *testing.T) {
	for _, tt := range []struct {
		addr string
		bits int
		want string
	}{
		{"::ffff:10.0.0.0", 104, "10.0.0.0/8"}, {"::ffff:10.1.2.3", 128, "10.1.2.3/32"}, {"::ffff:0.0.0.0", 96, "0.0.0.0/0"},
		{"::ffff:0.0.0.0", 95, "::ffff:0.0.0.0/95"}, {"2001:db8::", 32, "2001:db8::/32"}, {"10.0.0.0", 8, "10.0.0.0/8"},
	} {
		got := unmapPrefix(netip.PrefixFrom(netip.MustParseAddr(tt.addr), tt.bits))
		if got.String() != tt.want {
			t.Errorf("%s/%d: %v, want %s", tt.addr, tt.bits, got, tt.want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"10.1.0.0/16", []string{"10.1.0.0/16"}},
		{"10.4.0.1-10.4.0.6", []string{"10.4.0.1/32", "10.4.0.2/31", "10.4.0.4/31", "10.4.0.6/32"}},
		{"0.0.0.0-255.255.255.255", []string{"0.0.0.0/0"}},
		{"10.0.0.255-10.0.1.0", []string{"10.0.0.255/32", "10.0.1.0/32"}},
		{"::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", []string{"::/1"}},
		{"2001:db8::1-2001:db8::2", []string{"2001:db8::1/128", "2001:db8::2/128"}},
	} {
		var got []string
		for _, p := range mustParse(t, c.text).Prefixes() {
			got = append(got, p.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("Prefixes(%s) = %v, want %v", c.text, got, c.want)
		}
	}
	if got := len(mustParse(t, "0.0.0.1-255.255.255.254").Prefixes()); got != 62 {
		t.Errorf("the worst IPv4 range is %d prefixes, want 62", got)
	}
	if got := len(mustParse(t, "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").Prefixes()); got != 254 {
		t.Errorf("the worst IPv6 range is %d prefixes, want 254", got)
	}
	if got := (Selector{}).Prefixes(); got != nil {
		t.Errorf("the zero selector has prefixes %v", got)
	}
}

// The prefixes of a range lie end to end from its start to its end.
func TestPrefixesJoinUp(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 500 {
		s := randomSelector(r)
		if !s.Valid() {
			if s.Prefixes() != nil && s.End.Less(s.Start) {
				t.Fatalf("%v has prefixes", s)
			}
			continue
		}
		next := s.Start
		for _, p := range s.Prefixes() {
			if p.Addr() != next || p != p.Masked() {
				t.Fatalf("%s: %s does not begin at %s", s, p, next)
			}
			next = lastAddr(p).Next()
		}
		if next.Prev() != s.End && next.IsValid() {
			t.Fatalf("%s: prefixes end before %s", s, next)
		}
	}
}
