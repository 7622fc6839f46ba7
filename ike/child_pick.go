package ike

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// childPick is what we agree to: the policy, one proposal, and the selectors that both sides allow.
type childPick struct {
	policy        *child.Policy
	chosen        wire.Proposal
	local, remote []selector.Selector
	further       bool // beside another one, for a single resource
	more          bool // others of the request would be granted as well, but in a Child SA of their own
	hosts         ipsec.Hosts
}

// A childRequest is what the peer asks for, in one mode.
type childRequest struct {
	proposals     []wire.Proposal
	local, remote []selector.Selector
	mode          child.Mode
	create        bool // in CREATE_CHILD_SA
}

// pick chooses the policy, the mode, the proposal and the selectors for a request.
func (a *childAnswer) pick(s *ikeSA, ps []wire.Payload) error {
	sa, _ := wire.Find[*wire.SA](ps)
	tsi, _ := wire.FindTS(ps, false)
	tsr, _ := wire.FindTS(ps, true)
	q := childRequest{proposals: sa.Proposals, local: selectorsOf(tsr), remote: selectorsOf(tsi), create: a.create}
	if ok, err := a.pickTransport(s, q); ok {
		return err
	}
	return a.pickMode(s, q)
}

// pickMode is pick for one mode.
func (a *childAnswer) pickMode(s *ikeSA, q childRequest) (err error) {
	if f := a.besides(s, &q); f != nil {
		a.childPick, err = pickFurther(s, f, q.proposals)
		return err
	}
	if len(s.children.Pairs()) >= s.maxChildren(a.old) {
		return refuseFor(wire.NoAdditionalSAs, reason.Facts{
			Cause: reason.Refused, Why: fmt.Sprintf("the peer asks for another Child SA, and the IKE SA has %d, which is the limit", len(s.children.Pairs())),
		})
	}
	if a.old != nil {
		if a.childPick, err = pickRekey(a.old, &q); err != nil {
			a.old.Hasten(refusedPause)
		}
		return err
	}
	a.childPick, err = s.party.pickPolicy(&q)
	if err == errHeld {
		return s.refuseHeld(a.policy)
	}
	return err
}

// refusedPause is the time between our refusal of the peer's rekeying and our own. Ours may
// succeed, or show that the IKE SA cannot be kept, in which case a new one can be made before the
// old pair expires. The peer may not be able to make one. If it is, it has done so by then.
const refusedPause = 5 * time.Second

// Bounds of the work for one request, which an authenticated peer chooses: less than a millisecond.
const (
	// maxSelectorWork is the number of comparisons of selectors: 255 x 255 selectors that overlap
	// with 256 policies take half of it.
	maxSelectorWork = 1 << 18
	// maxChoices is the number of different lists of our ESP proposals that are compared with the
	// peer's.
	maxChoices = 8
)

// A candidate is a policy that overlaps with a request for a Child SA.
type candidate struct {
	policy *child.Policy
	rank   int
}

// errHeld means that an operator holds down the only policy that fits a request.
var errHeld = errors.New("held down")

// pickPolicy chooses the policy that fits the request best, of those with an acceptable proposal.
// With errHeld it returns the policy that is held down.
func (p *party) pickPolicy(q *childRequest) (childPick, error) {
	list, ok := p.rankPolicies(q)
	if !ok {
		p.e.count("ike_ts_unacceptable")
		return childPick{}, refuseFor(wire.TSUnacceptable, reason.Facts{
			Cause: reason.Networks, Why: "the peer proposes too many traffic selectors for our number of policies",
		})
	}
	var unlucky *child.Policy // its selectors match, its proposals do not
	var held *child.Policy    // its selectors match, but an operator holds it down
	tried := 0
	for _, c := range list {
		if c.policy.Held() {
			held = c.policy
			continue
		}
		if unlucky != nil && sameProposals(unlucky, c.policy) {
			continue
		}
		if tried++; tried > maxChoices {
			break
		}
		chosen, ok := choose(c.policy, q.proposals, q.create)
		if !ok {
			unlucky = c.policy
			continue
		}
		l, r, more := c.policy.Grant(q.local, q.remote)
		if len(l) > 0 && len(r) > 0 {
			more = more || c.rank < rankAll && p.grantsBeside(list, c.policy, q)
			return childPick{policy: c.policy, chosen: chosen, local: l, remote: r, more: more}, nil
		}
	}
	if held != nil && unlucky == nil {
		return childPick{policy: held}, errHeld
	}
	return childPick{}, p.noChild(unlucky, q)
}

// grantsBeside reports whether a request that a policy grants in part would be granted in part by
// another one as well.
func (p *party) grantsBeside(list []candidate, chosen *child.Policy, q *childRequest) bool {
	return slices.ContainsFunc(list[:min(len(list), maxChoices)], func(c candidate) bool {
		if c.policy == chosen || c.policy.Held() {
			return false
		}
		_, ok := choose(c.policy, q.proposals, q.create)
		return ok
	})
}

// rankPolicies returns the policies of its mode that overlap with a request, the best first. ok
// is false if they are too many to compare with that many selectors.
func (p *party) rankPolicies(q *childRequest) (list []candidate, ok bool) {
	w := selector.NewWork(maxSelectorWork)
	l, r := selector.Prepare(q.local), selector.Prepare(q.remote)
	for _, pol := range p.policies {
		if pol.Settings.Mode == q.mode && l.Overlaps(pol.Settings.Local, w) && r.Overlaps(pol.Settings.Remote, w) {
			list = append(list, candidate{pol, rankSelectors(pol, l, r, w)})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return b.rank - a.rank })
	return list, w.Left()
}

// sameProposals reports whether two policies have the same ESP proposals.
func sameProposals(a, b *child.Policy) bool {
	return slices.EqualFunc(a.Settings.Proposals, b.Settings.Proposals, func(p, q wire.Proposal) bool { return slices.Equal(p.Transforms, q.Transforms) })
}

// choose makes the responder's choice of an ESP proposal.
func choose(pol *child.Policy, theirs []wire.Proposal, create bool) (wire.Proposal, bool) {
	ours := pol.Settings.Proposals
	if !create {
		ours = proposal.WithoutKE(ours)
	}
	return proposal.Choose(ours, theirs)
}

// pickRekey agrees to the replacement of a pair, with the same selectors. Narrower ones are
// forbidden, and wider ones were never agreed on (RFC 7296, Section 2.9.2).
func pickRekey(old *child.Pair, q *childRequest) (childPick, error) {
	if modeOf(old) != q.mode {
		return childPick{}, refuseFor(wire.NoProposalChosen, reason.Facts{
			Cause: reason.Mode, Rekey: true, Why: "the replaced Child SA is in transport mode, and the peer asks for tunnel mode",
		})
	}
	w := selector.NewWork(maxSelectorWork)
	if !selector.Prepare(old.SA.LocalTS).Within(q.local, w) || !selector.Prepare(old.SA.RemoteTS).Within(q.remote, w) {
		return childPick{}, refuseFor(wire.TSUnacceptable, reason.Facts{
			Cause: reason.Networks, Rekey: true, Why: "the peer asks for other networks than those of the Child SA that is there",
			Ours: reason.Offer{Local: old.SA.LocalTS, Remote: old.SA.RemoteTS}, Theirs: reason.Offer{Local: q.local, Remote: q.remote},
		})
	}
	chosen, ok := choose(old.Policy(), q.proposals, true)
	if !ok {
		return childPick{}, refuseFor(wire.NoProposalChosen, reason.Facts{
			Cause: reason.ESPProposal, Rekey: true, Ours: reason.Offer{Proposals: old.Policy().Settings.Proposals}, Theirs: reason.Offer{Proposals: q.proposals},
		})
	}
	return childPick{policy: old.Policy(), chosen: chosen, local: old.SA.LocalTS, remote: old.SA.RemoteTS}, nil
}

// rankAll is the least rank of a policy that covers all selectors of a request.
const rankAll = 4

// rankSelectors returns how well a policy fits a request: best if it covers all of its selectors,
// next if it covers the first ones, which are those of the packet that triggered the request (RFC
// 7296, Section 2.9). Among equals, a policy that is down ranks higher.
func rankSelectors(pol *child.Policy, local, remote selector.Proposal, w *selector.Work) int {
	rank := 0
	if local.Within(pol.Settings.Local, w) && remote.Within(pol.Settings.Remote, w) {
		rank += rankAll
	}
	if local.First().Within(pol.Settings.Local, w) && remote.First().Within(pol.Settings.Remote, w) {
		rank += 2
	}
	if !pol.Up() {
		rank++
	}
	return rank
}

// maxTold bounds the policies with which a request that fits none of them is recorded.
const maxTold = 16

// noChild refuses, and records the reason with the policies concerned.
func (p *party) noChild(unlucky *child.Policy, q *childRequest) error {
	if unlucky != nil {
		p.e.count("ike_no_proposal_chosen")
		ours := unlucky.Settings.Proposals
		if !q.create {
			ours = proposal.Distinct(proposal.WithoutKE(ours))
		}
		t := reason.Facts{Cause: reason.ESPProposal, Ours: reason.Offer{Proposals: ours}, Theirs: reason.Offer{Proposals: q.proposals}}.Trouble()
		unlucky.RefusedCall(t)
		return refuse(wire.NoProposalChosen, t.Reason)
	}
	p.e.count("ike_ts_unacceptable")
	for _, pol := range p.policies[:min(len(p.policies), maxTold)] {
		f := reason.Facts{
			Cause: reason.Networks, Ours: reason.Offer{Local: pol.Settings.Local, Remote: pol.Settings.Remote},
			Theirs: reason.Offer{Local: q.local, Remote: q.remote},
		}
		if pol.Settings.Mode != q.mode {
			f.Cause, f.Why = reason.Mode, "the peer asks for tunnel mode, and this child is in transport mode between two addresses; configure the same mode and addresses on both sides"
		}
		pol.RefusedCall(f.Trouble())
	}
	return refuse(wire.TSUnacceptable, "the peer's networks do not meet ours")
}
