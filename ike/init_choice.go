package ike

import (
	"cmp"
	"slices"

	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// A responder chooses the proposal before it knows its caller, and IKE_AUTH fails if the caller's
// entry does not allow the choice. So it chooses what as many as possible of the entries allow that
// the caller may be:
//
//	those with its address                   -->  or if they allow nothing that it offers,
//	those without an address                 -->  likewise,
//	the others, one of which may have moved
//
// Entries that allow nothing of the offer are not the caller's. Where the others have nothing in
// common, the one counts that allows what the caller prefers: both ends of a connection are mostly
// configured alike. The choice is by the order of preference of that entry.

// An initOffer is the IKE proposals of peers, and how many peers have them.
type initOffer struct {
	proposals []wire.Proposal
	peers     int
}

// initOffers are the lists of proposals that peers have. They are few, because peers share them.
type initOffers []initOffer

// count adds n to the peers of a list, and reports whether one appeared or vanished.
func (o *initOffers) count(ps []wire.Proposal, n int) (changed bool) {
	i := slices.IndexFunc(*o, func(old initOffer) bool {
		return slices.EqualFunc(old.proposals, ps, func(p, q wire.Proposal) bool { return slices.Equal(p.Transforms, q.Transforms) })
	})
	if i < 0 {
		i, changed = len(*o), true
		*o = append(*o, initOffer{proposals: ps})
	}
	if (*o)[i].peers += n; (*o)[i].peers == 0 {
		*o, changed = slices.Delete(*o, i, i+1), true
	}
	return changed
}

// maxOffered bounds the proposals of a caller that are looked at.
const maxOffered = 32

// choose chooses one of a caller's proposals; known are the peers with its address.
func (t *peerTable) choose(known []*profile, theirs []wire.Proposal) (chosen wire.Proposal, ok bool) {
	theirs = theirs[:min(len(theirs), maxOffered)]
	var near initOffers
	for _, p := range known[:min(len(known), maxKnown)] {
		near.count(p.cfg.Proposals, 1)
	}
	for _, offers := range []initOffers{near, t.offers[0], t.offers[1]} {
		if chosen, ok = offers.choose(theirs); ok {
			return chosen, true
		}
	}
	return chosen, false
}

// maxCompared bounds the lists of proposals whose common ones are looked for.
const maxCompared = 8

// choose chooses what as many as possible of the lists allow.
func (o initOffers) choose(theirs []wire.Proposal) (wire.Proposal, bool) {
	type possible struct {
		ours []wire.Proposal
		at   int // of the first that is allowed of theirs
	}
	var list []possible
	for _, offer := range o {
		at := slices.IndexFunc(theirs, func(their wire.Proposal) bool {
			return slices.ContainsFunc(offer.proposals, func(our wire.Proposal) bool { return proposal.Matches(our, their) })
		})
		if at >= 0 {
			list = append(list, possible{offer.proposals, at})
		}
	}
	if len(list) == 0 {
		return wire.Proposal{}, false
	}
	slices.SortStableFunc(list, func(a, b possible) int { return cmp.Compare(a.at, b.at) })
	for _, may := range list[:min(len(list), maxCompared)] {
		if common := proposal.Common(may.ours, theirs); len(common) > 0 {
			theirs = common
		}
	}
	return proposal.Choose(list[0].ours, theirs)
}
