package ike

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/selector"
)

// childOffer is a Child SA that we ask for in IKE_AUTH or CREATE_CHILD_SA.
type childOffer struct {
	policy        *child.Policy
	old           *child.Pair  // the pair to replace; nil: a new one
	like          *child.Pair  // of a new pair: one on another IKE SA that has what this one should
	moves         *settlement  // that asks for a new pair, even if another IKE SA has one; or nil
	chain         *child.Chain // of a new pair beside the main chain's, otherwise nil
	resource      bool         // the request was for a single resource, as the peer read it
	unheard       bool         // the peer has not answered for so long that another IKE SA is made
	left          bool         // its IKE SA was closed by people: the policy does not wait for it
	spi           uint32
	offers        []wire.Proposal
	local, remote []selector.Selector
	wrongGroup    *reason.Facts // of an INVALID_KE_PAYLOAD that was not followed
	inAuth        bool          // it is in IKE_AUTH
}

// prepare allocates our SPI and decides the offer. An offer that replaces a pair has the selectors
// of that pair: "the proposed Traffic Selectors SHOULD be either the same as, or a superset of, the
// Traffic Selectors used in the old Child SA" (RFC 7296, Section 2.9.2).
func (o *childOffer) prepare(s *ikeSA, inAuth bool) error {
	spi, err := s.e.cfg.SPIs.AllocSPI(s.lane())
	if err != nil {
		return fmt.Errorf("no SPI for a Child SA: %w", err)
	}
	o.spi, o.inAuth = spi, inAuth
	proposals := o.policy.Settings.Proposals
	if inAuth {
		proposals = proposal.Distinct(proposal.WithoutKE(proposals))
	}
	switch {
	case o.old != nil:
		proposals = preferred(o.policy)
		o.local, o.remote = o.old.SA.LocalTS, o.old.SA.RemoteTS
	case o.further():
		f := o.policy.Main().On(&s.children)
		proposals, o.local, o.remote = like(f), f.SA.LocalTS, f.SA.RemoteTS
	case o.like != nil:
		proposals = preferred(o.policy)
		o.local, o.remote = o.like.SA.LocalTS, o.like.SA.RemoteTS
	case o.part():
		proposals = preferred(o.policy)
		o.local, o.remote = partToOffer(o.chain)
	default:
		o.local, o.remote = selectorsToOffer(o.policy)
	}
	o.offers = proposal.Numbered(proposals, spiOctets(spi))
	return o.checkHosts(s)
}

// preferred returns a policy's proposals in the order of a rekeying: first those with the key
// exchange on which the peer agreed at the last one.
func preferred(pol *child.Policy) []wire.Proposal {
	if pol.LastGroup != nil {
		return proposal.Preferring(pol.Settings.Proposals, *pol.LastGroup)
	}
	return pol.Settings.Proposals
}

// firstGroup returns the key exchange of which a request for the policy carries our half.
func firstGroup(pol *child.Policy, offers []wire.Proposal) wire.TransformID {
	if last := pol.LastGroup; last != nil && proposal.OffersGroup(offers, *last) {
		return *last
	}
	return proposal.Group(offers[0])
}

// learn remembers which key exchange a CREATE_CHILD_SA exchange agreed on for a policy.
func learn(pol *child.Policy, chosen wire.Proposal) {
	group := proposal.Group(chosen)
	pol.LastGroup = &group
}

// target returns the chain that the pair will belong to.
func (o *childOffer) target() *child.Chain {
	switch {
	case o.old != nil:
		return o.old.Chain().Now()
	case o.beside():
		return o.chain.Now()
	}
	return o.policy.Main()
}

// chainFor returns the chain for what was agreed on. A new pair may lack what the main chain's
// carries, if both sides ask at the same time.
func (o *childOffer) chainFor(a child.Agreement) *child.Chain {
	switch {
	case o.old == nil && !o.beside():
		return o.policy.ChainOf(a.SA.LocalTS, a.SA.RemoteTS)
	case o.part():
		return o.chain.For(a.SA.LocalTS, a.SA.RemoteTS)
	}
	return o.target()
}

// info returns the notifies about non-initial fragments, the mode and resources, if any. A rekeying
// needs none about resources (RFC 9611, Section 3).
func (o *childOffer) info(s *ikeSA) []wire.Payload {
	ps := nonFirst(o.local, o.remote)
	if o.transport() {
		ps = append(ps, &wire.Notify{Kind: wire.UseTransportMode})
	}
	if s.party.announces() && !o.part() && (o.old == nil || o.old.Grouped()) {
		n := resourceInfo(o.target())
		o.resource = namesResource(n)
		ps = append(ps, n)
	}
	return ps
}

func (o *childOffer) sa() wire.Payload { return &wire.SA{Proposals: o.offers} }

func (o *childOffer) selectors() []wire.Payload {
	return []wire.Payload{wireTS(false, o.local), wireTS(true, o.remote)}
}

func (o *childOffer) payloads(s *ikeSA) []wire.Payload {
	return slices.Concat([]wire.Payload{o.sa()}, o.selectors(), o.info(s))
}

// release frees the SPI, unless a pair has it.
func (o *childOffer) release(s *ikeSA) {
	if o.spi != 0 {
		s.e.cfg.SPIs.FreeSPI(o.spi)
		o.spi = 0
	}
}

// abandon ends the offer without a response.
func (o *childOffer) abandon(s *ikeSA, why string) {
	o.release(s)
	o.settled()
	o.policy.Owner().Touch()
}

// settled records that no request of ours for it is under way any more.
func (o *childOffer) settled() {
	if o.beside() {
		o.chain.RequestEnded()
		return
	}
	if o.target().IsMain() && !o.left {
		o.policy.Settled()
	}
}

// leave has the policy not wait for the offer any more, whose IKE SA people closed: when they want
// it up again it comes up on another one, long before the response or the end of the repetitions.
func (o *childOffer) leave() {
	if o.beside() {
		return
	}
	o.settled()
	o.left = true
	o.policy.Owner().Touch()
}

// conclude reads the response. It returns the installed pair, or nil after telling the policy why
// there is none.
func (o *childOffer) conclude(s *ikeSA, ps []wire.Payload, n noncePair, shared []byte) *child.Pair {
	defer clear(shared)
	if e, ok := wire.FindError(ps); ok {
		o.refused(s, e.Kind)
		return nil
	}
	a, err := o.agree(s, ps, n, shared)
	if err != nil {
		s.e.count("ike_child_unacceptable")
		spi := o.spi
		o.fail(s, o.answerFacts(err))
		// The peer has installed its pair by now, so it is sent a Delete.
		s.enqueue(&informational{kind: askDelete, spis: []uint32{spi}})
		return nil
	}
	o.spi = 0
	if !o.part() { // whose request ends with the exchange: it is answered if there is no pair by then
		o.settled()
	}
	a.Grouped = o.further() || !o.part() && s.party.announces() && s.party.infoWanted(ps)
	return s.e.pairs.Install(&s.children, o.chainFor(a), a)
}

// refused records that the peer refuses the offer. If it replaces a pair, the IKE SA cannot be
// kept.
func (o *childOffer) refused(s *ikeSA, kind wire.NotifyType) {
	switch {
	case o.takesLess(kind): // in IKE_AUTH
		o.release(s)
		o.policy.AskAgain(o.facts(s, kind).Trouble())
		return
	case o.old == nil:
		o.fail(s, o.facts(s, kind))
		return
	}
	f := o.facts(s, kind)
	o.fail(s, f)
	s.succ.wontLive("rekeying the Child SA failed: " + f.Bare())
}

// fail records the failure with the policy. If the old pair is still there it can be rekeyed later.
func (o *childOffer) fail(s *ikeSA, f reason.Facts) {
	o.release(s)
	t := f.Trouble()
	switch {
	case o.left:
		return
	case o.further():
		o.chain.Failed(t)
		return
	case o.part():
		o.chain.PartRefused(t)
		return
	case o.like != nil: // what it carries is asked for when a packet needs it
		o.like.Chain().PartRefused(t)
		return
	}
	switch {
	case o.old == nil && o.moves != nil && o.policy.Up(): // by what the other IKE SA has
		o.policy.NotMoved(t)
		return
	case o.old == nil:
		o.policy.Failed(t)
		return
	}
	o.settled()
	t.At = s.e.handling.now
	o.policy.Trouble = t
}

var (
	errNoChild   = errors.New("it has no valid Child SA")
	errWidened   = errors.New("it widened the traffic selectors")
	errNotUseful = errors.New("it carries neither the packet that asked for it nor anything else that no Child SA carries")
	errNarrowed  = errors.New("it narrowed the traffic selectors of the existing Child SA")
)

// agree checks the response against the offer: one of our proposals, and selectors within ours. At
// a rekeying, or for a single resource, the selectors must not be narrower than before.
func (o *childOffer) agree(s *ikeSA, ps []wire.Payload, n noncePair, shared []byte) (child.Agreement, error) {
	sa, ok := wire.Find[*wire.SA](ps)
	tsi, ok2 := wire.FindTS(ps, false)
	tsr, ok3 := wire.FindTS(ps, true)
	if !ok || !ok2 || !ok3 || len(sa.Proposals) != 1 {
		return child.Agreement{}, errNoChild
	}
	if err := o.checkMode(ps); err != nil {
		return child.Agreement{}, err
	}
	chosen := sa.Proposals[0]
	if err := proposal.CheckAnswer(o.offers, chosen); err != nil {
		return child.Agreement{}, err
	}
	local, remote := selectorsOf(tsi), selectorsOf(tsr)
	if len(local) == 0 || len(remote) == 0 {
		return child.Agreement{}, errNoChild
	}
	hosts, local, remote := o.hosts(s, local, remote)
	if o.transport() != hosts.Transport() || !selector.Subset(local, o.local) || !selector.Subset(remote, o.remote) {
		return child.Agreement{}, errWidened
	}
	if o.part() && !o.chain.Useful(local, remote) {
		return child.Agreement{}, errNotUseful
	}
	if (o.old != nil || o.further()) && (!selector.Subset(o.local, local) || !selector.Subset(o.remote, remote)) {
		return child.Agreement{}, errNarrowed
	}
	esp, err := s.childSA(chosen, shared, n, true)
	if err != nil {
		return child.Agreement{}, err
	}
	esp.SPIIn, esp.SPIOut = o.spi, binary.BigEndian.Uint32(chosen.SPI)
	esp.LocalTS, esp.RemoteTS, esp.Hosts = local, remote, hosts
	esp.OtherPorts = o.resource && s.net.able&ablePorts != 0
	origin := &negotiation{proposal: chosen, nonces: n}
	return child.Agreement{SA: esp, Origin: origin, Creator: true, Replaces: o.old, Further: o.beside()}, nil
}
