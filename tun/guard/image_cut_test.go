package guard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestCut(t *testing.T) {
	p := func(s string, group int) owned { return owned{netip.MustParsePrefix(s), group} }
	for _, tt := range []struct {
		in   []owned
		want string
	}{
		{nil, "[]"},
		{[]owned{p("10.1.0.0/24", 1)}, "[10.1.0.0-10.1.0.255 [1]]"},
		{[]owned{p("10.1.0.0/25", 1), p("10.1.0.128/25", 1)}, "[10.1.0.0-10.1.0.255 [1]]"},
		{[]owned{p("10.1.0.0/24", 1), p("10.1.0.0/24", 2)}, "[10.1.0.0-10.1.0.255 [1 2]]"},
		{[]owned{p("10.1.0.4/30", 7), p("10.1.0.0/24", 1)}, "[10.1.0.0-10.1.0.3 [1] 10.1.0.4-10.1.0.7 [1 7] 10.1.0.8-10.1.0.255 [1]]"},
		{[]owned{p("0.0.0.0/0", 1), p("255.255.255.255/32", 2)}, "[0.0.0.0-255.255.255.254 [1] 255.255.255.255-255.255.255.255 [1 2]]"},
		{[]owned{p("::/0", 1), p("::/128", 2)}, "[::-:: [1 2] ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff [1]]"},
	} {
		var got []string
		for _, c := range cut(tt.in) {
			got = append(got, fmt.Sprintf("%s-%s %v", c.First, c.Last, c.groups))
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%v: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

// Every address is in at most one piece, with exactly the groups that have it.
func TestCutAgainstEveryAddress(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var locals []owned
		for range rng.IntN(12) {
			a := netip.AddrFrom4([4]byte{255, 255, 255, byte(rng.IntN(256))})
			p, _ := a.Prefix(24 + rng.IntN(9))
			locals = append(locals, owned{p, 1 + rng.IntN(4)})
		}
		pieces := cut(slices.Clone(locals))
		for i := range 256 {
			a := netip.AddrFrom4([4]byte{255, 255, 255, byte(i)})
			var want, got []int
			for _, l := range locals {
				if l.Contains(a) && !slices.Contains(want, l.group) {
					want = append(want, l.group)
				}
			}
			slices.Sort(want)
			n := 0
			for _, p := range pieces {
				if !a.Less(p.First) && !p.Last.Less(a) {
					got = p.groups
					n++
				}
			}
			if n > 1 || !slices.Equal(got, want) {
				t.Fatalf("seed %d: %s is in %d pieces, of groups %v, want %v", seed, a, n, got, want)
			}
		}
	}
}
