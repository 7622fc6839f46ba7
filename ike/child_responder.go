package ike

import (
	"encoding/binary"
	"fmt"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// A childAnswer is a Child SA that the peer asks for in IKE_AUTH or CREATE_CHILD_SA, and what we
// agree to: the counterpart of childOffer.
type childAnswer struct {
	nonces noncePair
	old    *child.Pair // the pair to replace; nil: a new one
	create bool        // requested in CREATE_CHILD_SA
	later  bool        // the peer asks for non-initial fragments
	// transport is set if the peer asks for transport mode.
	transport bool
	info      bool // the response carries SA_RESOURCE_INFO, as the request does (RFC 9611)
	single    bool // the request is for a single resource of the peer's
	childPick
}

// childHandshake is the responder's side of CREATE_CHILD_SA for a Child SA, the counterpart of
// childExchange.
type childHandshake struct{ childAnswer }

// expects implements handshake: the exchange has one request.
func (*childHandshake) expects(wire.ExchangeType) bool { return false }

func (*childHandshake) rule() payloadRule { return ruleCreateChild }

// abandon implements handshake: the pair was not rekeyed.
func (x *childHandshake) abandon(s *ikeSA) {
	if !s.state.ended() {
		x.cancel()
	}
}

// read reads the purpose of the request. It refuses a request that collides with one of ours (RFC
// 7296, Section 2.25).
func (x *childHandshake) read(s *ikeSA, ps []wire.Payload) error {
	x.create, x.later, x.info = true, asksForFragments(ps), s.party.infoWanted(ps)
	x.transport = asksForTransport(ps)
	if n, ok := wire.FindNotify(ps, wire.SAResourceInfo); ok {
		x.single = namesResource(n)
	}
	ask := askCreateChild
	n, rekeys := wire.FindNotify(ps, wire.RekeySA)
	if rekeys {
		ask = askRekeyChild
		if n.Protocol != wire.ProtoESP {
			return notFound(n)
		}
		x.old = s.children.Named(n.SPI)
	}
	switch answerTo(ask, s.doing(), doingWith(x.old)) {
	case answerTemporary:
		return refuse(wire.TemporaryFailure, "the IKE SA or Child SA is being rekeyed or closed")
	case answerNotFound:
		// The peer may have made the Child SA that our outstanding request asks for, and already
		// rekey it, before its response arrives.
		if _, awaited := s.work.Current().(*childExchange); awaited {
			return refuse(wire.TemporaryFailure, "it may be the Child SA of our own outstanding request")
		}
		return notFound(n)
	}
	return nil
}

// request makes the Child SA, after the key exchange if there is one.
func (x *childHandshake) request(s *ikeSA, ps []wire.Payload) ([]wire.Payload, error) {
	s.succ.adoptIfUndecided()
	if err := x.read(s, ps); err != nil {
		return nil, err
	}
	if err := x.pick(s, ps); err != nil {
		return nil, err
	}
	nr, err := s.e.nonce()
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no randomness")
	}
	nonce, _ := wire.Find[*wire.Nonce](ps)
	x.nonces = noncePair{Ni: nonce.Data, Nr: nr}
	if x.old != nil {
		negotiated(x.old).crossing = &crossing{nonces: x.nonces}
	}
	group := proposal.Group(x.chosen)
	if group == wire.GroupNone {
		return nil, x.conclude(s, nil, nil)
	}
	ke, ok := wire.Find[*wire.KE](ps)
	if !ok || ke.Group != group {
		x.cancel()
		return nil, &notifyError{notify: &wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}, text: "another key exchange method is required"}
	}
	if err := s.checkPublic(ke); err != nil {
		x.cancel()
		return nil, err
	}
	s.handshake = x
	s.answerKey(group, ke.Data, func(k keyPair) { x.computed(s, k) })
	return nil, errPending
}

func notFound(n *wire.Notify) error {
	return &notifyError{notify: &wire.Notify{Protocol: n.Protocol, SPI: n.SPI, Kind: wire.ChildSANotFound}, text: "the Child SA does not exist"}
}

// cancel records that the peer's rekeying of the pair failed.
func (a *childAnswer) cancel() {
	if a.old == nil {
		return
	}
	n := negotiated(a.old)
	if n.crossing == nil {
		return
	}
	n.crossing.failed = true
	if a.old.State() == child.Replaced && a.old.Next() == nil {
		a.old.Revive()
	}
	n.crossing = nil
}

// computed goes on after the key exchange.
func (x *childHandshake) computed(s *ikeSA, k keyPair) {
	s.endHandshake(x)
	switch {
	case s.state.ended():
	case k.err != nil:
		x.cancel()
		s.e.count("ike_bad_key_exchange")
		s.conclude(nil, fatal(wire.InvalidSyntax, "the key exchange value is invalid: "+k.err.Error()))
	case s.state == saClosing || s.party.removed:
		x.cancel()
		s.conclude(nil, refuse(wire.TemporaryFailure, "the IKE SA is being closed"))
	default:
		s.conclude(nil, x.conclude(s, k.shared, &wire.KE{Group: proposal.Group(x.chosen), Data: k.public}))
	}
}

// conclude installs the pair that was agreed on, sends the response, and decides which pair is sent
// on.
func (x *childHandshake) conclude(s *ikeSA, shared []byte, ke *wire.KE) error {
	p, err := x.install(s, shared)
	if err != nil {
		x.cancel()
		return err
	}
	answer := []wire.Payload{&wire.SA{Proposals: []wire.Proposal{negotiated(p).proposal}}, &wire.Nonce{Data: x.nonces.Nr}}
	if ke != nil {
		answer = append(answer, ke)
	}
	s.answer(append(answer, x.agreed(p)...))
	if p.Carrier() == nil { // the response could not be protected, and the IKE SA has ended
		return errPending
	}
	if x.old != nil {
		rekeyedByPeer(x.old, p)
	}
	s.party.settleDuplicates()
	p.UseSoon()
	switch {
	case p.Chain().Resource() > 0 && x.old == nil:
		p.Report("resource-up", fmt.Sprintf("%s is worker %d's, as the peer asked for one more", p, p.SA.Resource-1))
	case x.old == nil:
		p.CameUp()
	}
	return errPending
}

// rekeyedByPeer records what the peer's new pair replaces. The peer deletes the old one, unless our
// own rekeying crossed its request.
func rekeyedByPeer(old, p *child.Pair) {
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

// inAuth handles the Child SA of an IKE_AUTH request. It returns the pair and the payloads of the
// response, which are nil if the request has no Child SA.
func (a *childAnswer) inAuth(s *ikeSA, ps []wire.Payload) (*child.Pair, []wire.Payload, error) {
	if !asksForChild(ps) {
		return nil, nil, nil
	}
	a.nonces, a.later, a.info = s.keys.nonces, asksForFragments(ps), s.party.infoWanted(ps)
	a.transport = asksForTransport(ps)
	if err := a.pick(s, ps); err != nil {
		return nil, nil, err
	}
	p, err := a.install(s, nil)
	if err != nil {
		return nil, nil, err
	}
	return p, append([]wire.Payload{&wire.SA{Proposals: []wire.Proposal{negotiated(p).proposal}}}, a.agreed(p)...), nil
}

// agreed returns the end of the response: the selectors, and notifies about non-initial fragments
// and resources.
func (a *childAnswer) agreed(p *child.Pair) []wire.Payload {
	ps := []wire.Payload{wireTS(false, a.remote), wireTS(true, a.local)}
	if a.hosts.Transport() {
		ps = append(ps, &wire.Notify{Kind: wire.UseTransportMode})
	}
	if a.more {
		ps = append(ps, &wire.Notify{Kind: wire.AdditionalTSPossible})
	}
	if a.later {
		ps = append(ps, nonFirst(a.local, a.remote)...)
	}
	if a.info && !p.Chain().IsPart() {
		ps = append(ps, resourceInfo(p.Chain()))
	}
	return ps
}

// install installs the pair, and clears the shared secret.
func (a *childAnswer) install(s *ikeSA, shared []byte) (*child.Pair, error) {
	defer clear(shared)
	if err := s.admit(a.policy, a.local, a.remote); err != nil {
		return nil, err
	}
	l := a.chain()
	spi, err := s.e.cfg.SPIs.AllocSPI(s.lane())
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no SPI: "+err.Error())
	}
	esp, err := s.childSA(a.chosen, shared, a.nonces, false)
	if err != nil {
		s.e.cfg.SPIs.FreeSPI(spi)
		return nil, refuse(wire.NoProposalChosen, err.Error())
	}
	esp.SPIIn, esp.SPIOut = spi, binary.BigEndian.Uint32(a.chosen.SPI)
	esp.LocalTS, esp.RemoteTS, esp.Hosts = a.local, a.remote, a.hosts
	esp.OtherPorts = a.single && s.net.able&ablePorts != 0
	origin := &negotiation{proposal: a.chosen, nonces: a.nonces}
	origin.proposal.SPI = spiOctets(spi)
	if a.create {
		origin.via, origin.next = s, s.win.ExpectedID()
		learn(a.policy, a.chosen)
	}
	p := s.e.pairs.Install(&s.children, l, child.Agreement{SA: esp, Origin: origin, Replaces: a.old, Further: !l.IsMain(), Grouped: a.info && !l.IsPart()})
	a.tellMode(p)
	return p, nil
}

// chain returns the chain for the pair.
func (a *childAnswer) chain() *child.Chain {
	switch {
	case a.old != nil:
		return a.old.Chain().Now()
	case a.further && a.policy.Main().Best() != nil: // the main pair may have ended during the key exchange computation
		return a.policy.FreeChain()
	}
	return a.policy.ChainOf(a.local, a.remote)
}
