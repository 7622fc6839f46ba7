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
