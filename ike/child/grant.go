package child

import (
	"slices"

	"culvert/ike/reason"
	"culvert/selector"
)

// A peer may grant less than a policy's networks (RFC 7296, Section 2.9), in either role: it
// narrows our request, or its own request is narrower than our policy.

// A grant is what a pair carries.
type grant struct{ local, remote []selector.Selector }

func grantOf(p *Pair) *grant { return &grant{p.SA.LocalTS, p.SA.RemoteTS} }

func (g *grant) String() string { return reason.List(g.local) + " with " + reason.List(g.remote) }

func (g *grant) equal(o *grant) bool {
	return slices.Equal(g.local, o.local) && slices.Equal(g.remote, o.remote)
}

// Narrow reports whether the policy is up and its pairs carry less than its networks.
func (pol *Policy) Narrow() bool { return pol.narrow }

// compare notes whether the policy's pairs carry all of its networks, or of those pairs of networks
// of which they carry something.
func (pol *Policy) compare() {
	pol.rest.complete = false
	if pol.granularity() == perNetworks {
		pol.narrow = pol.narrowPair() != nil
		return
	}
	grants := pol.grants()
	pol.narrow = len(grants) > 0 && !covered(pol.whole(), grants)
}

// whole returns all networks of the policy.
func (pol *Policy) whole() *grant {
	var g grant
	g.local, g.remote = pol.owner.Networks(pol)
	return &g
}

// grants returns what the usable pairs carry.
func (pol *Policy) grants() (list []*grant) {
	for _, p := range pol.Pairs() {
		if p.state.Usable() {
			list = append(list, grantOf(p))
		}
	}
	return list
}

// maxGranted bounds the comparisons of selectors for one message: a peer can make as many pairs as
// an IKE SA may have, each with as many selectors as a payload holds.
const maxGranted = 1 << 16

// covered reports whether one of the grants is the whole, or several have one side of it and
// together the other. It misses that where the grants have very many selectors.
func covered(whole *grant, grants []*grant) bool {
	return coveredWithin(whole, grants, selector.NewWork(maxGranted))
}

// coveredWithin is covered, with bounded work.
func coveredWithin(whole *grant, grants []*grant, w *selector.Work) bool {
	if slices.ContainsFunc(grants, whole.equal) {
		return true
	}
	l, r := selector.Prepare(whole.local), selector.Prepare(whole.remote)
	var local, remote []selector.Selector
	for _, g := range grants {
		hasLocal, hasRemote := l.Within(g.local, w), r.Within(g.remote, w)
		if hasLocal && hasRemote {
			return true
		}
		if hasLocal {
			remote = append(remote, g.remote...)
		}
		if hasRemote {
			local = append(local, g.local...)
		}
		if !w.Left() {
			return false
		}
	}
	return len(remote) > 0 && r.Within(remote, w) || len(local) > 0 && l.Within(local, w)
}

// carries reports whether a usable pair carries the flow.
func (pol *Policy) carries(f *selector.Flow) bool {
	return slices.ContainsFunc(pol.grants(), func(g *grant) bool { return selector.MatchOutbound(f, g.local, g.remote) })
}

// bestFor returns the pair that a flow should be sent on: the best of a chain, if it carries the
// flow, otherwise that of the policy.
func (pol *Policy) bestFor(f *selector.Flow) *Pair {
	for _, l := range pol.chains() {
		if p := l.Best(); p != nil && selector.MatchOutbound(f, p.SA.LocalTS, p.SA.RemoteTS) {
			return p
		}
	}
	return pol.Best()
}

// tellNarrow gives notice that the policy's pairs carry less than its networks: once, until they
// carry all, or the first pair of the policy carries something else.
func (p *Pair) tellNarrow() {
	pol, g := p.policy, grantOf(p)
	if !pol.narrow {
		pol.told = nil
		return
	}
	if pol.told != nil && (len(pol.Pairs()) > 1 || pol.told.equal(g)) {
		return
	}
	pol.told = g
	pol.owner.Report(Report{Policy: pol, Pair: p, Event: "child-narrowed", Trouble: pol.shortfall(g)})
}

// Shortfall says what of the policy's networks its pairs carry. It is zero if they carry all.
func (pol *Policy) Shortfall() Trouble {
	grants := pol.grants()
	if !pol.narrow || len(grants) == 0 {
		return Trouble{}
	}
	all := grants[0]
	for _, g := range grants[1:min(len(grants), maxNamedGrants)] {
		all = &grant{selector.Normalize(slices.Concat(all.local, g.local)), selector.Normalize(slices.Concat(all.remote, g.remote))}
	}
	return pol.shortfall(all)
}

// maxNamedGrants bounds the pairs whose networks Shortfall names.
const maxNamedGrants = 8

// shortfall says that the policy's pairs carry a part of its networks.
func (pol *Policy) shortfall(g *grant) Trouble {
	whole := pol.narrowPair()
	if whole == nil {
		whole = pol.whole()
	}
	rest := "the rest is asked for when a packet needs it"
	if pol.Settings.Narrow == NarrowPeer {
		rest = "packets outside are refused"
	}
	return reason.Facts{
		Cause: reason.Narrowed, Ours: reason.Offer{Local: whole.local, Remote: whole.remote}, Theirs: reason.Offer{Local: g.local, Remote: g.remote},
		Why: rest + "; to carry all, configure the same networks on both sides",
	}.Trouble()
}
