package ike

import (
	"encoding/binary"

	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// rekeyHandshake is the responder's side of CREATE_CHILD_SA that replaces the IKE SA, the
// counterpart of rekeyExchange. While it is under way, the peer's successor is being computed, and
// nothing is started on the IKE SA (RFC 7296, Section 1.3.2).
type rekeyHandshake struct {
	chosen wire.Proposal
	nonces noncePair
}

// expects implements handshake: the exchange has one request.
func (*rekeyHandshake) expects(wire.ExchangeType) bool { return false }

func (*rekeyHandshake) rule() payloadRule { return ruleRekeyIKE }

// abandon implements handshake: the queue goes on.
func (*rekeyHandshake) abandon(s *ikeSA) {
	if !s.state.ended() {
		s.startNext()
	}
}

// computing reports whether the peer's successor of the IKE SA is being computed.
func (c *succession) computing() bool {
	_, ok := c.sa.handshake.(*rekeyHandshake)
	return ok
}

// request makes the peer's successor after the key exchange.
func (x *rekeyHandshake) request(s *ikeSA, ps []wire.Payload) ([]wire.Payload, error) {
	s.succ.adoptIfUndecided()
	crosses := false
	switch answerTo(askRekeyIKE, s.doing(), childQuiet) {
	case answerTemporary:
		return nil, refuse(wire.TemporaryFailure, "the IKE SA is busy or being closed")
	case answerAndCompare:
		crosses = true
	}
	if crosses && s.succ.theirs != nil {
		return nil, refuse(wire.TemporaryFailure, "the IKE SA is being rekeyed")
	}
	if s.party.superseded(s) >= maxRedundant {
		return nil, refuse(wire.TemporaryFailure, "the peer has not deleted the IKE SAs that it rekeyed before")
	}
	sa, _ := wire.Find[*wire.SA](ps)
	ke, _ := wire.Find[*wire.KE](ps)
	nonce, _ := wire.Find[*wire.Nonce](ps)
	chosen, ok := proposal.Choose(s.rekeyProposals(), proposal.WithSPISize(sa.Proposals, 8))
	if !ok {
		s.e.count("ike_no_proposal_chosen")
		return nil, refuseFor(wire.NoProposalChosen, reason.Facts{
			Cause: reason.IKEProposal, Rekey: true, Ours: reason.Offer{Proposals: s.rekeyProposals()}, Theirs: reason.Offer{Proposals: sa.Proposals},
		})
	}
	group := proposal.Group(chosen)
	if ke.Group != group {
		return nil, &notifyError{notify: &wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}, text: "another key exchange method is required"}
	}
	if err := s.checkPublic(ke); err != nil {
		return nil, err
	}
	nr, err := s.e.nonce()
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no randomness")
	}
	x.chosen, x.nonces = chosen, noncePair{Ni: nonce.Data, Nr: nr}
	s.handshake = x
	s.answerKey(group, ke.Data, func(k keyPair) {
		s.endHandshake(x)
		x.computed(s, k)
		s.startNext()
	})
	return nil, errPending
}

// computed makes the peer's successor and answers. It hands over to it unless our own rekeying
// is outstanding.
func (x *rekeyHandshake) computed(s *ikeSA, k keyPair) {
	if s.state.ended() {
		return
	}
	if k.err != nil {
		s.e.count("ike_bad_key_exchange")
		s.conclude(nil, fatal(wire.InvalidSyntax, "the key exchange value is invalid: "+k.err.Error()))
		return
	}
	if s.life.resume(); s.state != saEstablished {
		s.conclude(nil, refuse(wire.TemporaryFailure, "the IKE SA is being closed"))
		return
	}
	next, err := s.e.newSA(false, saEmbryo)
	if err != nil {
		s.conclude(nil, refuse(wire.TemporaryFailure, "no randomness"))
		return
	}
	next.spi.I = wire.SPI(binary.BigEndian.Uint64(x.chosen.SPI))
	keys, err := next.rekeyKeys(s, x.chosen, k.shared, x.nonces)
	if err != nil {
		next.remove()
		s.conclude(nil, refuse(wire.NoProposalChosen, err.Error()))
		return
	}
	next.succ.succeed(s, keys)
	next.succ.parent = s
	answer := x.chosen
	answer.SPI = binary.BigEndian.AppendUint64(nil, uint64(next.spi.R))
	s.answer(append([]wire.Payload{&wire.SA{Proposals: []wire.Proposal{answer}}, &wire.Nonce{Data: x.nonces.Nr}, &wire.KE{Group: proposal.Group(x.chosen), Data: k.public}}, next.token.notify()...))
	if s.state != saEstablished { // the response could not be protected, and the IKE SA has ended
		next.remove()
		return
	}
	s.succ.theirs, s.succ.nonces = next, x.nonces
	if _, ours := s.work.Current().(*rekeyExchange); !ours {
		s.succ.acceptPeers()
	}
}
