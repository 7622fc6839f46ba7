package child

import (
	"iter"
	"slices"

	"culvert/selector"
)

// The granularity of Child SAs: what one of them may carry. Some gateways make one for each pair of
// networks only, by their configuration or because their policy has no other form, and a peer may
// refuse anything but a single pair of addresses by SINGLE_PAIR_REQUIRED (RFC 7296, Section 2.9).

// granularity is the most that a Child SA of a policy may carry; the finest is the greatest.
type granularity uint8

const (
	perPolicy    granularity = iota // all networks
	perNetworks                     // one network on each side
	perAddresses                    // one address on each side, those of a packet
)

// granularity returns what is configured, or what the peer requires.
func (pol *Policy) granularity() granularity {
	if pol.Settings.Children == ChildrenPerPair {
		return max(pol.required, perNetworks)
	}
	return pol.required
}

// RequireLess records that the peer refused a request of ours because it carried more than a single
// pair, and reports whether less can be asked for at once: first a pair of networks, and where the
// request was for one, the addresses of the packet, which is nil if there is none.
func (pol *Policy) RequireLess(f *selector.Flow) bool {
	switch was := pol.granularity(); {
	case was == perAddresses:
		return false
	case was == perPolicy && pol.severalPairs():
		pol.required = perNetworks
		pol.report("single-pair", "the peer requires a Child SA for each pair of networks: from now on each is asked for by itself")
		return true
	}
	pol.required = perAddresses
	pol.report("single-pair", "the peer requires a Child SA for each pair of addresses: from now on each is asked for by the first packet that needs it")
	return f != nil
}

// Single returns the selectors of a request for the policy that must carry no more than a single
// pair, one on each side; ok is false if all networks may be asked for. With f it is the pair that
// carries the packet, and without that one that has a Child SA already, or else the first one.
func (pol *Policy) Single(f *selector.Flow) (local, remote []selector.Selector, ok bool) {
	var g *grant
	switch pol.granularity() {
	case perNetworks:
		g = pol.pairFor(f)
	case perAddresses:
		g = pol.addressesOf(f)
	}
	if g == nil {
		return nil, nil, false
	}
	return g.local, g.remote, true
}

// Single is Policy.Single for a part: ok is false as well if the peer granted something of the pair
// of networks, since only the rest is asked for then.
func (l *Chain) Single() (local, remote []selector.Selector, ok bool) {
	if l.pair != nil {
		return l.pair.local, l.pair.remote, true
	}
	if pol := l.policy; pol.granularity() == perNetworks && pol.wasAsked(l.flow) {
		return nil, nil, false
	}
	return l.policy.Single(l.flow)
}

// Grant narrows the selectors of a peer's request to those of the policy: to its networks, or to
// one pair of them if that is configured. "If the responder's policy allows it to accept the first
// selector of TSi and TSr, then the responder MUST narrow the Traffic Selectors to a subset that
// includes the initiator's first choices" (RFC 7296, Section 2.9). more reports whether other pairs
// would be granted as well, in a Child SA of their own.
func (pol *Policy) Grant(local, remote []selector.Selector) (l, r []selector.Selector, more bool) {
	l, r = selector.Narrow(local, pol.Settings.Local), selector.Narrow(remote, pol.Settings.Remote)
	if pol.Settings.Children != ChildrenPerPair || len(l) == 0 || len(r) == 0 {
		return l, r, false
	}
	var list []*grant
	chosen := 0
	for a, b := range pairsOf(pol.Settings.Local, pol.Settings.Remote) {
		g := &grant{selector.Narrow(local, []selector.Selector{a}), selector.Narrow(remote, []selector.Selector{b})}
		if len(g.local) == 0 || len(g.remote) == 0 {
			continue
		}
		if list = append(list, g); chosen == 0 && a.Covers(l[0]) && b.Covers(r[0]) {
			chosen = len(list) - 1
		}
	}
	if len(list) == 0 {
		return nil, nil, false
	}
	return list[chosen].local, list[chosen].remote, len(list) > 1
}

// addressesOf returns the two addresses of a packet, within the policy's networks, or nil.
func (pol *Policy) addressesOf(f *selector.Flow) *grant {
	if f == nil {
		return nil
	}
	whole := pol.whole()
	g := &grant{
		selector.Narrow([]selector.Selector{selector.FromAddr(f.Src)}, whole.local),
		selector.Narrow([]selector.Selector{selector.FromAddr(f.Dst)}, whole.remote),
	}
	if len(g.local) == 0 || len(g.remote) == 0 {
		return nil
	}
	return g
}

// pairFor returns the pair of networks that carries a packet; without one the pair that has
// what the main chain carries, or else the first one. It returns nil if there is none.
func (pol *Policy) pairFor(f *selector.Flow) *grant {
	var first *grant
	var has *grant
	if p := pol.main.Best(); p != nil {
		has = grantOf(p)
	}
	for g := range pol.networkPairs() {
		switch {
		case f != nil && selector.MatchOutbound(f, g.local, g.remote), f == nil && has != nil && covered(has, []*grant{g}):
			return g
		case first == nil:
			first = g
		}
	}
	if f != nil {
		return nil
	}
	return first
}

// networkPairs yields each pair of a local and a remote network that a packet can match, as far as
// the policy's entry in the SPD has them.
func (pol *Policy) networkPairs() iter.Seq[*grant] {
	whole, set := pol.whole(), &grant{pol.Settings.Local, pol.Settings.Remote}
	same := whole.equal(set)
	return func(yield func(*grant) bool) {
		for a, b := range pairsOf(set.local, set.remote) {
			g := &grant{[]selector.Selector{a}, []selector.Selector{b}}
			if !same {
				g.local, g.remote = selector.Narrow(g.local, whole.local), selector.Narrow(g.remote, whole.remote)
			}
			if len(g.local) > 0 && len(g.remote) > 0 && !yield(g) {
				return
			}
		}
	}
}

// pairsOf yields each pair of a local and a remote selector that a packet can match.
func pairsOf(local, remote []selector.Selector) iter.Seq2[selector.Selector, selector.Selector] {
	return func(yield func(a, b selector.Selector) bool) {
		for _, a := range local {
			for _, b := range remote {
				upper := a.Protocol == 0 || b.Protocol == 0 || a.Protocol == b.Protocol
				if upper && a.Is6() == b.Is6() && !yield(a, b) {
					return
				}
			}
		}
	}
}

// NetworkPairs returns the number of pairs of a local and a remote network that a packet can match.
func NetworkPairs(local, remote []selector.Selector) (count int) {
	for range pairsOf(local, remote) {
		count++
	}
	return count
}

// severalPairs reports whether the policy has more than one pair of networks, and few enough for a
// Child SA each.
func (pol *Policy) severalPairs() bool {
	n := NetworkPairs(pol.Settings.Local, pol.Settings.Remote)
	return n > 1 && n <= MaxNetworkPairs
}

// toucher returns a function that reports whether a usable pair carries something of a grant. It
// reports so of all once its work exceeds a bound.
func (pol *Policy) toucher() func(*grant) bool {
	grants, w := pol.grants(), selector.NewWork(maxGranted)
	return func(g *grant) bool {
		l, r := selector.Prepare(g.local), selector.Prepare(g.remote)
		touches := func(o *grant) bool { return l.Overlaps(o.local, w) && r.Overlaps(o.remote, w) }
		return slices.ContainsFunc(grants, touches) || !w.Left()
	}
}

// touched reports whether a usable pair carries something of the grant.
func (pol *Policy) touched(g *grant) bool { return pol.toucher()(g) }

// wasAsked reports whether the peer was already asked for a Child SA that carries the flow, and
// granted one that carries less.
func (pol *Policy) wasAsked(f *selector.Flow) bool {
	switch pol.granularity() {
	case perNetworks:
		g := pol.pairFor(f)
		return g != nil && pol.touched(g)
	case perAddresses:
		g := pol.addressesOf(f)
		return g != nil && pol.touched(g)
	}
	return true
}

// narrowPair returns a pair of networks of which the pairs of the policy carry something, but not
// all, or nil.
func (pol *Policy) narrowPair() *grant {
	if pol.granularity() != perNetworks {
		return nil
	}
	touched, grants, w := pol.toucher(), pol.grants(), selector.NewWork(maxGranted)
	for g := range pol.networkPairs() {
		if touched(g) && !coveredWithin(g, grants, w) {
			return g
		}
	}
	return nil
}
