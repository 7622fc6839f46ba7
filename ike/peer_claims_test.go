package ike

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"culvert/ike/wire"
	"culvert/selector"
)

// TestClaimsOfMany replaces the ranges of parties that have few and many: the list stays in order,
// and has what was set.
func TestClaimsOfMany(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var c claims
	parties := make([]*party, 8)
	want := map[*party][]addrRange{}
	for i := range parties {
		parties[i] = &party{}
	}
	for range 500 {
		i := r.IntN(len(parties))
		var list []selector.Selector
		for range r.IntN(3 * fewClaims) {
			list = append(list, selector.FromAddr(netip.AddrFrom4([4]byte{10, byte(i), byte(r.IntN(4)), byte(r.IntN(256))})))
		}
		want[parties[i]] = rangesOf(list)
		c.set(parties[i], want[parties[i]])
		var all []claim
		for p, ranges := range want {
			for _, r := range ranges {
				all = append(all, claim{r, p})
			}
		}
		slices.SortFunc(all, func(a, b claim) int { return a.first.Compare(b.first) })
		if !slices.Equal(c.list, all) {
			t.Fatalf("got %v, want %v", c.list, all)
		}
	}
}

// TestPartyOfTooManyNetworks: what a party may hold of the network is bounded, whatever it asks for
// one after the other.
func TestPartyOfTooManyNetworks(t *testing.T) {
	p := manyUsers(t, 1)
	if err := p.call(0); err != nil {
		t.Fatal(err)
	}
	s := p.right.e.peers.order[0].members.list[0].main()
	s.e.handling = handling{now: p.now, fx: &Effects{}}
	pol := s.party.policies[0]
	var err error
	n := 0
	for ; err == nil && n < 10000; n += 200 {
		var list []selector.Selector
		for i := range 200 {
			a := selector.FromAddr(netip.AddrFrom4([4]byte{10, 2, byte((n + i) >> 7), byte(n+i) << 1}))
			list = append(list, a)
		}
		err = s.admit(pol, pol.Settings.Local, list)
	}
	var refusal *notifyError
	if !errors.As(err, &refusal) || refusal.notify.Kind != wire.TSUnacceptable || n < 1000 || n > 1400 {
		t.Errorf("%d networks, then %v", n, err)
	}
}

func TestClaims(t *testing.T) {
	var c claims
	a, b := &party{}, &party{}
	c.set(a, rangesOf(testNetworks("10.0.0.0/24", "10.0.0.128/25", "10.0.9.0/24", "2001:db8::/64")))
	if len(c.list) != 3 {
		t.Errorf("got %v", c.list)
	}
	for _, tt := range []struct {
		network string
		free    bool
	}{
		{"10.0.0.255/32", false}, {"10.0.0.0/32", false}, {"10.0.1.0/24", true}, {"10.0.0.0/8", false}, {"10.0.8.0/23", false},
		{"9.0.0.0/8", true}, {"2001:db8:0:1::/64", true}, {"2001:db8::/48", false}, {"0.0.0.0/0", false}, {"11.0.0.0/8", true},
	} {
		if free := c.conflict(b, rangesOf(testNetworks(tt.network))) == nil; free != tt.free {
			t.Errorf("%s: free: %t", tt.network, free)
		}
		if c.conflict(a, rangesOf(testNetworks(tt.network))) != nil {
			t.Errorf("%s: a party is in its own way", tt.network)
		}
	}
	c.set(b, rangesOf(testNetworks("10.0.1.0/24")))
	c.set(a, rangesOf(testNetworks("10.0.9.0/24")))
	if c.conflict(a, rangesOf(testNetworks("10.0.0.0/23"))) != b || c.conflict(b, rangesOf(testNetworks("10.0.0.0/24"))) != nil {
		t.Errorf("got %v", c.list)
	}
	c.set(a, nil)
	c.set(b, nil)
	if len(c.list) != 0 {
		t.Errorf("left: %v", c.list)
	}
}
