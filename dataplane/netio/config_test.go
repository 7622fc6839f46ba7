package netio

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestConfig: what is left out gets its default, and addresses are listened at once.
func TestConfig(t *testing.T) {
	any4, any6, one := netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		name    string
		in      Config
		listen  []netip.Addr
		workers int
		err     string
	}{
		{"nothing", Config{}, []netip.Addr{any4, any6}, 1, ""},
		{"the same twice", Config{Listen: []netip.Addr{one, netip.MustParseAddr("::ffff:192.0.2.1"), any6, one}, Workers: maxWorkers}, []netip.Addr{one, any6}, maxWorkers, ""},
		{"too many workers", Config{Workers: maxWorkers + 1, IKEPort: 500, NATPort: 4500}, []netip.Addr{any4, any6}, maxWorkers, ""},
		{"fewer than none", Config{Workers: -1}, []netip.Addr{any4, any6}, 1, ""},
		{"an address is missing", Config{Listen: []netip.Addr{one, {}}}, nil, 0, "an address is missing"},
		{"one port for both", Config{IKEPort: 4500, NATPort: 4500}, nil, 0, "ike_port and nat_port are both 4500"},
	} {
		c := tt.in
		err := c.validate()
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || !slices.Equal(c.Listen, tt.listen) || c.Workers != tt.workers || c.Log == nil {
			t.Errorf("%s: %+v, %v, want %v and %d workers", tt.name, c, err, tt.listen, tt.workers)
		}
	}
	if family(one) != "udp4" || family(any6) != "udp6" {
		t.Errorf("families %s and %s", family(one), family(any6))
	}
}
