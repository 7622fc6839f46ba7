package protect

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestLongestPrefixDecides(t *testing.T) {
	s := NewSet()
	s.Change([]Policy{
		policy("a", prefixes("10.1.0.0/24"), prefixes("10.0.0.0/8", "fd02::/64"), prefixes("10.5.0.0/16")),
		policy("b", prefixes("10.1.0.0/24"), prefixes("10.5.7.0/24"), nil),
		policy("c", prefixes("10.9.0.0/24", "fd09::/64"), prefixes("0.0.0.0/0", "::/0"), nil),
		// Two policies with local and remote networks swapped.
		policy("d", prefixes("192.168.7.0/24", "172.16.0.0/12"), prefixes("10.2.0.0/16"), nil),
		policy("e", prefixes("10.2.5.0/24"), prefixes("172.16.0.0/12"), nil),
	}, nil)
	s.Exempt(prefixes("10.6.0.0/16"), prefixes("192.0.2.0/24"))
	for _, tt := range []struct {
		src, dst string
		want     bool
	}{
		{"10.1.0.1", "10.2.0.1", true},
		{"10.1.0.1", "10.5.0.1", false}, // bypass
		{"10.1.0.1", "10.5.7.1", true},  // another policy's longer remote network
		{"10.1.0.1", "10.1.0.2", false}, // its own local network
		{"10.1.0.1", "10.6.0.1", false}, // exempt for all
		{"10.1.0.1", "192.0.2.7", false},
		{"10.1.0.1", "11.0.0.1", false},
		{"10.9.0.1", "192.0.2.7", false}, // a full tunnel leaves the host's links outside
		{"10.9.0.1", "192.0.3.7", true},
		{"10.9.0.1", "224.0.0.5", false}, // link scope
		{"10.9.0.1", "169.254.1.1", false},
		{"fd09::1", "fe80::1", false},
		{"fd09::1", "2001:db8::1", true},
		{"10.9.9.1", "192.0.3.7", false}, // no local network
		{"192.168.7.1", "10.2.5.9", true},
		{"172.16.0.1", "10.2.5.9", true},
		{"10.2.5.9", "172.16.0.1", true},
	} {
		if got := s.protects(tt.src, tt.dst); got != tt.want {
			t.Errorf("%s to %s: protected is %v, want %v", tt.src, tt.dst, got, tt.want)
		}
	}
}

// slow is the reference: it visits every prefix.
func slow(g *Group, a netip.Addr) bool {
	best, protect := -1, false
	g.Prefixes(func(p netip.Prefix, k Kind) bool {
		if p.Contains(a) && p.Bits() > best {
			best, protect = p.Bits(), k == Protect
		}
		return true
	})
	return protect
}

// Intervals at both ends of a family, nested prefixes, and neighbours that are one interval.
func TestIntervals(t *testing.T) {
	for _, tt := range []struct {
		name           string
		remote, bypass []netip.Prefix
		want           string
	}{
		{"all", prefixes("0.0.0.0/0"), nil, "[0.0.0.0-10.0.255.255 10.2.0.0-169.253.255.255 169.255.0.0-223.255.255.255 224.0.1.0-255.255.255.254]"},
		{"the last address", prefixes("255.255.255.255/32"), nil, "[255.255.255.255-255.255.255.255]"},
		{"the first one", prefixes("0.0.0.0/32"), nil, "[0.0.0.0-0.0.0.0]"},
		{"neighbours", prefixes("10.2.0.0/17", "10.2.128.0/17"), nil, "[10.2.0.0-10.2.255.255]"},
		{"a bypass at the start, one at the end", prefixes("10.2.0.0/16"), prefixes("10.2.0.0/24", "10.2.255.0/24"), "[10.2.1.0-10.2.254.255]"},
		{"a network in a bypass in a network", prefixes("10.2.0.0/16", "10.2.7.128/25"), prefixes("10.2.7.0/24"), "[10.2.0.0-10.2.6.255 10.2.7.128-10.2.255.255]"},
		{"a bypass of all", prefixes("10.2.0.0/16"), prefixes("10.0.0.0/8"), "[10.2.0.0-10.2.255.255]"},
		{"the same prefix", prefixes("10.2.0.0/16"), prefixes("10.2.0.0/16"), "[10.2.0.0-10.2.255.255]"},
		{"the local network", prefixes("10.1.0.0/16"), nil, "[10.1.0.0-10.1.255.255]"},
		{"a part of it", prefixes("10.1.7.0/24"), nil, "[10.1.7.0-10.1.7.255]"},
	} {
		s := NewSet()
		s.Change([]Policy{policy("a", prefixes("10.1.0.0/16"), tt.remote, tt.bypass)}, nil)
		var got []string
		for _, r := range s.Groups()[0].Protected {
			got = append(got, fmt.Sprint(r.First, "-", r.Last))
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRangeOf(t *testing.T) {
	for p, want := range map[string]string{
		"10.2.0.0/16": "10.2.255.255", "0.0.0.0/0": "255.255.255.255", "10.2.3.4/32": "10.2.3.4", "10.2.3.4/31": "10.2.3.5", "10.128.0.0/9": "10.255.255.255",
		"::/0": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::/7": "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::2/127": "fd00::3",
	} {
		in := netip.MustParsePrefix(p)
		if got := RangeOf(in); got.First != in.Addr() || got.Last.String() != want {
			t.Errorf("%s is from %v to %v, want %s", p, got.First, got.Last, want)
		}
	}
}
