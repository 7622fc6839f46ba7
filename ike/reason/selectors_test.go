package reason

import (
	"net/netip"
	"testing"

	"culvert/selector"
)

// networks returns selectors of networks.
func networks(prefixes ...string) []selector.Selector {
	var list []selector.Selector
	for _, p := range prefixes {
		list = append(list, selector.FromPrefix(netip.MustParsePrefix(p)))
	}
	return list
}

func TestList(t *testing.T) {
	many := networks("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24", "10.0.5.0/24",
		"10.0.6.0/24", "10.0.7.0/24", "10.0.8.0/24", "10.0.9.0/24", "10.0.10.0/24", "10.0.11.0/24")
	for _, tt := range []struct {
		n    int
		want string
	}{
		{0, "none"},
		{1, "10.0.0.0/24"},
		{2, "10.0.0.0/24 10.0.1.0/24"},
		{10, "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24 10.0.3.0/24 10.0.4.0/24 10.0.5.0/24 10.0.6.0/24 10.0.7.0/24 10.0.8.0/24 10.0.9.0/24"},
		{12, "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24 10.0.3.0/24 10.0.4.0/24 10.0.5.0/24 10.0.6.0/24 10.0.7.0/24 10.0.8.0/24 10.0.9.0/24 and 2 more"},
	} {
		if got := List(many[:tt.n]); got != tt.want {
			t.Errorf("%d selectors: %q, want %q", tt.n, got, tt.want)
		}
	}
}
