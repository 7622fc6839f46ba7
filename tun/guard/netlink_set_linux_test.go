package guard

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Intervals at both ends of each family go into the kernel and come back, in as many messages as
// they need.
func TestElementsThereAndBack(t *testing.T) {
	var many, many6 []protect.Range
	for i := range 3000 {
		many = append(many, protect.RangeOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 7), byte(i << 1)}), 32)))
		many6 = append(many6, protect.RangeOf(netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, byte(i >> 7), byte(i << 1)}), 64)))
	}
	all := func(p string) []protect.Range { return []protect.Range{protect.RangeOf(netip.MustParsePrefix(p))} }
	socketIn(t, func(s *socket) {
		for _, tt := range []struct {
			name     string
			list     []protect.Range
			messages int
		}{
			{"all of IPv4", all("0.0.0.0/0"), 1}, {"all of IPv6", all("::/0"), 1}, {"the last address", all("255.255.255.255/32"), 1}, {"the first ones", all("::/127"), 1},
			{"many", many, 2}, {"many of IPv6", many6, 4}, {"none", nil, 0},
		} {
			v6 := len(tt.list) > 0 && tt.list[0].First.Is6()
			b := newBatch("culvert-x")
			b.addTable()
			b.addSet("s", v6, false)
			before := len(b.start)
			b.ranges(unix.NFT_MSG_NEWSETELEM, "s", tt.list)
			if n := len(b.start) - before; n != tt.messages {
				t.Errorf("%s: %d messages, want %d", tt.name, n, tt.messages)
			}
			if err := s.commit(b); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if got, err := s.elements("culvert-x", "s"); err != nil || !slices.Equal(got, tt.list) {
				t.Errorf("%s: got %d intervals, want %d; %v", tt.name, len(got), len(tt.list), err)
			}
			b = newBatch("culvert-x")
			b.ranges(unix.NFT_MSG_DELSETELEM, "s", tt.list)
			b.deleteSet("s")
			b.deleteTable()
			if err := s.commit(b); err != nil {
				t.Errorf("%s: removing: %v", tt.name, err)
			}
		}
	})
}
