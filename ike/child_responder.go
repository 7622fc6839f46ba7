package ike

import (
	"encoding/binary"
	"fmt"
	"slices"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/wire"
	"culvert/selector"
)

// childTerms are the parameters of a Child SA that the peer asks for.
type childTerms struct {
	nonces noncePair
	shared []byte
	old    *child.Pair // the pair to replace; nil: a new one
	create bool        // requested in CREATE_CHILD_SA
	later  bool        // the peer asks for non-initial fragments
	info   bool        // the response carries SA_RESOURCE_INFO, as the request does (RFC 9611)
}

// childPick is what we agree to: the policy, one proposal, and the selectors that both sides allow.
type childPick struct {
	policy        *child.Policy
	chosen        wire.Proposal
	local, remote []selector.Selector
	further       bool // beside another one, for a single resource
}

// termsOf reads the purpose of a CREATE_CHILD_SA request. It refuses a request that collides with
// one of ours (RFC 7296, Section 2.25).
func (s *ikeSA) termsOf(ps []wire.Payload) (childTerms, error) {
	terms := childTerms{create: true, later: asksForFragments(ps), info: s.infoWanted(ps)}
	ask := askCreateChild
	n, rekeys := wire.FindNotify(ps, wire.RekeySA)
	if rekeys {
		ask = askRekeyChild
		if n.Protocol != wire.ProtoESP {
			return terms, s.notFound(n)
		}
		terms.old = s.children.Named(n.SPI)
	}
	switch answerTo(ask, s.doing(), doingWith(terms.old)) {
	case answerTemporary:
		return terms, refuse(wire.TemporaryFailure, "the IKE SA or Child SA is being rekeyed or closed")
	case answerNotFound:
		if s.awaitsChild() {
			return terms, refuse(wire.TemporaryFailure, "it may be the Child SA of our own outstanding request")
		}
		return terms, s.notFound(n)
	}
	return terms, nil
}

// childRequest handles a CREATE_CHILD_SA request for a Child SA.
func (s *ikeSA) childRequest(ps []wire.Payload) ([]wire.Payload, error) {
	terms, err := s.termsOf(ps)
	if err != nil {
		return nil, err
	}
	pick, err := s.pickChild(ps, terms)
	if err != nil {
		return nil, err
	}
	nr, err := s.e.nonce()
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no randomness")
	}
	nonce, _ := wire.Find[*wire.Nonce](ps)
	terms.nonces = noncePair{Ni: nonce.Data, Nr: nr}
	if terms.old != nil {
		negotiated(terms.old).crossing = &crossing{nonces: terms.nonces}
	}
	group := proposal.Group(pick.chosen)
	if group == wire.GroupNone {
		return nil, s.createChild(pick, terms, nil)
	}
	ke, ok := wire.Find[*wire.KE](ps)
	if !ok || ke.Group != group {
		terms.cancel()
		return nil, &notifyError{&wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}, "another key exchange method is required"}
	}
	if err := s.checkPublic(ke); err != nil {
		terms.cancel()
		return nil, err
	}
	s.e.answerKey(group, ke.Data, func(k keyPair) { s.childComputed(pick, terms, k) })
	return nil, errPending
}

// awaitsChild reports whether our request for a Child SA is outstanding. The peer may have made
// that one, and already rekey it, before its response arrives.
func (s *ikeSA) awaitsChild() bool {
	_, ok := s.work.Current().(*childExchange)
	return ok
}

func (s *ikeSA) notFound(n *wire.Notify) error {
	return &notifyError{&wire.Notify{Protocol: n.Protocol, SPI: n.SPI, Kind: wire.ChildSANotFound}, "the Child SA does not exist"}
}

// cancel records that the peer's rekeying of the pair failed.
func (t childTerms) cancel() {
	if t.old == nil {
		return
	}
	n := negotiated(t.old)
	if n.crossing == nil {
		return
	}
	n.crossing.failed = true
	if t.old.State() == child.Replaced && t.old.Next() == nil {
		t.old.Revive()
	}
	n.crossing = nil
}

func (s *ikeSA) childComputed(pick childPick, terms childTerms, k keyPair) {
	switch {
	case s.state.ended():
	case k.err != nil:
		terms.cancel()
		s.e.count("ike_bad_key_exchange")
		s.conclude(nil, fatal(wire.InvalidSyntax, "the key exchange value is invalid: "+k.err.Error()))
	case s.state == saClosing || s.party.removed:
		terms.cancel()
		s.conclude(nil, refuse(wire.TemporaryFailure, "the IKE SA is being closed"))
	default:
		terms.shared = k.shared
		s.conclude(nil, s.createChild(pick, terms, &wire.KE{Group: proposal.Group(pick.chosen), Data: k.public}))
	}
}

// createChild installs the pair that was agreed on, sends the response, and decides which pair is
// sent on.
func (s *ikeSA) createChild(pick childPick, terms childTerms, ke *wire.KE) error {
	p, err := s.makeChild(pick, terms)
	if err != nil {
		terms.cancel()
		return err
	}
	answer := []wire.Payload{&wire.SA{Proposals: []wire.Proposal{negotiated(p).proposal}}, &wire.Nonce{Data: terms.nonces.Nr}}
	if ke != nil {
		answer = append(answer, ke)
	}
	s.answer(append(answer, agreed(p, pick, terms)...))
	if p.Carrier() == nil { // the response could not be protected, and the IKE SA has ended
		return errPending
	}
	if terms.old != nil {
		s.rekeyedByPeer(terms.old, p)
	}
	s.party.settleDuplicates()
	p.UseSoon()
	switch {
	case !p.Chain().IsMain() && terms.old == nil:
		p.Report("resource-up", fmt.Sprintf("%s is worker %d's, as the peer asked for one more", p, p.SA.Resource-1))
	case terms.old == nil:
		p.CameUp()
	}
	return errPending
}

// rekeyedByPeer records what the peer's new pair replaces. The peer deletes the old one, unless our
// own rekeying crossed its request.
func (s *ikeSA) rekeyedByPeer(old, p *child.Pair) {
	p.Replaces(old)
	c := negotiated(old).crossing
	switch {
	case c.lost != nil:
		p.Replaced(c.lost)
	case doingWith(old) == childRekeying:
		c.pair = p // the nonces decide at the end of our own exchange
	case old.Carrier() != nil:
		c.pair = p
		old.Replaced(p)
		old.Answer(nil)
	}
}

// answerChild handles the Child SA of an IKE_AUTH request. It returns the pair and the payloads of
// the response.
func (s *ikeSA) answerChild(ps []wire.Payload, terms childTerms) (*child.Pair, []wire.Payload, error) {
	defer clear(terms.shared)
	pick, err := s.pickChild(ps, terms)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.makeChild(pick, terms)
	if err != nil {
		return nil, nil, err
	}
	return p, append([]wire.Payload{&wire.SA{Proposals: []wire.Proposal{negotiated(p).proposal}}}, agreed(p, pick, terms)...), nil
}

// agreed returns the end of the response: the selectors, and notifies about non-initial fragments
// and resources.
func agreed(p *child.Pair, pick childPick, terms childTerms) []wire.Payload {
	ps := []wire.Payload{wireTS(false, pick.remote), wireTS(true, pick.local)}
	if terms.later {
		ps = append(ps, nonFirst(pick.local, pick.remote)...)
	}
	if terms.info {
		ps = append(ps, resourceInfo(p.Chain()))
	}
	return ps
}

// makeChild installs the pair.
func (s *ikeSA) makeChild(pick childPick, terms childTerms) (*child.Pair, error) {
	if err := s.admit(pick.policy, pick.local, pick.remote); err != nil {
		return nil, err
	}
	l := pick.chainFor(terms)
	spi, err := s.e.cfg.SPIs.AllocSPI(l.Resource())
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no SPI: "+err.Error())
	}
	esp, err := s.childSA(pick.chosen, terms.shared, terms.nonces, false)
	if err != nil {
		s.e.cfg.SPIs.FreeSPI(spi)
		return nil, refuse(wire.NoProposalChosen, err.Error())
	}
	esp.SPIIn, esp.SPIOut = spi, binary.BigEndian.Uint32(pick.chosen.SPI)
	esp.LocalTS, esp.RemoteTS = pick.local, pick.remote
	origin := &negotiation{proposal: pick.chosen, nonces: terms.nonces}
	origin.proposal.SPI = spiOctets(spi)
	if terms.create {
		origin.via, origin.next = s, s.win.ExpectedID()
		learn(pick.policy, pick.chosen)
	}
	return s.e.pairs.Install(&s.children, l, child.Agreement{SA: esp, Origin: origin, Replaces: terms.old, Further: !l.IsMain(), Grouped: terms.info}), nil
}

// pickChild chooses the policy, the proposal and the selectors for a request.
func (s *ikeSA) pickChild(ps []wire.Payload, terms childTerms) (childPick, error) {
	sa, _ := wire.Find[*wire.SA](ps)
	tsi, _ := wire.FindTS(ps, false)
	tsr, _ := wire.FindTS(ps, true)
	theirs, remote, local := sa.Proposals, selectorsOf(tsi), selectorsOf(tsr)
	if f := s.pickFurther(terms, local, remote); f != nil {
		return s.agreeFurther(f, theirs)
	}
	if len(s.children.Pairs()) >= s.maxChildren(terms.old) {
		return childPick{}, refuse(wire.NoAdditionalSAs, "the IKE SA has reached its limit of Child SAs")
	}
	if terms.old != nil {
		return pickRekey(terms.old, theirs, local, remote)
	}
	return s.pickPolicy(theirs, local, remote, terms.create)
}

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

// pickPolicy chooses the policy that fits the request best, of those with an acceptable proposal.
func (s *ikeSA) pickPolicy(theirs []wire.Proposal, local, remote []selector.Selector, create bool) (childPick, error) {
	list, ok := s.rankPolicies(local, remote)
	if !ok {
		s.e.count("ike_ts_unacceptable")
		return childPick{}, refuse(wire.TSUnacceptable, "the peer proposes too many traffic selectors for our number of policies")
	}
	var unlucky *child.Policy // its selectors match, its proposals do not
	tried := 0
	for _, c := range list {
		if unlucky != nil && sameProposals(unlucky, c.policy) {
			continue
		}
		if tried++; tried > maxChoices {
			break
		}
		chosen, ok := choose(c.policy, theirs, create)
		if !ok {
			unlucky = c.policy
			continue
		}
		l, r := selector.Narrow(local, c.policy.Settings.Local), selector.Narrow(remote, c.policy.Settings.Remote)
		if len(l) > 0 && len(r) > 0 {
			return childPick{policy: c.policy, chosen: chosen, local: l, remote: r}, nil
		}
	}
	return childPick{}, s.noChild(unlucky, theirs, local, remote)
}

// rankPolicies returns the policies that overlap with a request, the one that fits best first. ok
// is false if they are too many to compare with that many selectors.
func (s *ikeSA) rankPolicies(local, remote []selector.Selector) (list []candidate, ok bool) {
	w := selector.NewWork(maxSelectorWork)
	l, r := selector.Prepare(local), selector.Prepare(remote)
	for _, pol := range s.party.policies {
		if l.Overlaps(pol.Settings.Local, w) && r.Overlaps(pol.Settings.Remote, w) {
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
func pickRekey(old *child.Pair, theirs []wire.Proposal, local, remote []selector.Selector) (childPick, error) {
	if !selector.Subset(old.SA.LocalTS, local) || !selector.Subset(old.SA.RemoteTS, remote) {
		return childPick{}, refuse(wire.TSUnacceptable, "the traffic selectors differ from those of the replaced Child SA")
	}
	chosen, ok := choose(old.Policy(), theirs, true)
	if !ok {
		return childPick{}, refuse(wire.NoProposalChosen, "no ESP proposal is acceptable")
	}
	return childPick{policy: old.Policy(), chosen: chosen, local: old.SA.LocalTS, remote: old.SA.RemoteTS}, nil
}

// rankSelectors returns how well a policy fits a request: best if it covers all of its selectors,
// next if it covers the first ones, which are those of the packet that triggered the request (RFC
// 7296, Section 2.9). Among equals, a policy that is down ranks higher.
func rankSelectors(pol *child.Policy, local, remote selector.Proposal, w *selector.Work) int {
	rank := 0
	if local.Within(pol.Settings.Local, w) && remote.Within(pol.Settings.Remote, w) {
		rank += 4
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
func (s *ikeSA) noChild(unlucky *child.Policy, theirs []wire.Proposal, local, remote []selector.Selector) error {
	if unlucky != nil {
		s.e.count("ike_no_proposal_chosen")
		const why = "none of the peer's ESP proposals is acceptable"
		unlucky.RefusedCall(why, proposal.Explain(unlucky.Settings.Proposals, theirs))
		return refuse(wire.NoProposalChosen, why)
	}
	s.e.count("ike_ts_unacceptable")
	const why = "the peer's traffic selectors do not overlap with ours"
	asked := selectorLine("theirs", remote, local)
	for _, pol := range s.party.policies[:min(len(s.party.policies), maxTold)] {
		pol.RefusedCall(why, []string{selectorLine("ours", pol.Settings.Local, pol.Settings.Remote), asked})
	}
	return refuse(wire.TSUnacceptable, why)
}
