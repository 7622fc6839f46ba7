package ike

import (
	"encoding/binary"

	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// rekeyRequest handles the peer's request to rekey the IKE SA.
func (s *ikeSA) rekeyRequest(ps []wire.Payload) ([]wire.Payload, error) {
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
	if s.superseded() >= maxRedundant {
		return nil, refuse(wire.TemporaryFailure, "the peer has not deleted the IKE SAs that it rekeyed before")
	}
	sa, _ := wire.Find[*wire.SA](ps)
	ke, _ := wire.Find[*wire.KE](ps)
	nonce, _ := wire.Find[*wire.Nonce](ps)
	chosen, ok := proposal.Choose(s.rekeyProposals(), proposal.WithSPISize(sa.Proposals, 8))
	if !ok {
		s.e.count("ike_no_proposal_chosen")
		return nil, refuse(wire.NoProposalChosen, "no IKE proposal is acceptable")
	}
	group := proposal.Group(chosen)
	if ke.Group != group {
		return nil, &notifyError{&wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}, "another key exchange method is required"}
	}
	if err := s.checkPublic(ke); err != nil {
		return nil, err
	}
	nr, err := s.e.nonce()
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no randomness")
	}
	n := noncePair{Ni: nonce.Data, Nr: nr}
	s.succ.asked = true
	s.e.answerKey(group, ke.Data, func(k keyPair) {
		s.succ.asked = false
		s.rekeyComputed(chosen, n, k)
		s.startNext()
	})
	return nil, errPending
}

// rekeyComputed makes the peer's successor and answers. It hands over to it unless our own rekeying
// is outstanding.
func (s *ikeSA) rekeyComputed(chosen wire.Proposal, n noncePair, k keyPair) {
	if s.state.ended() {
		return
	}
	if k.err != nil {
		s.e.count("ike_bad_key_exchange")
		s.conclude(nil, fatal(wire.InvalidSyntax, "the key exchange value is invalid: "+k.err.Error()))
		return
	}
	if s.state != saEstablished {
		s.conclude(nil, refuse(wire.TemporaryFailure, "the IKE SA is being closed"))
		return
	}
	next, err := s.e.newSA(false, saEmbryo)
	if err != nil {
		s.conclude(nil, refuse(wire.TemporaryFailure, "no randomness"))
		return
	}
	next.spi.I = wire.SPI(binary.BigEndian.Uint64(chosen.SPI))
	keys, err := next.rekeyKeys(s, chosen, k.shared, n)
	if err != nil {
		next.remove()
		s.conclude(nil, refuse(wire.NoProposalChosen, err.Error()))
		return
	}
	next.succeed(s, keys)
	next.succ.parent = s
	answer := chosen
	answer.SPI = binary.BigEndian.AppendUint64(nil, uint64(next.spi.R))
	s.answer(append([]wire.Payload{&wire.SA{Proposals: []wire.Proposal{answer}}, &wire.Nonce{Data: n.Nr}, &wire.KE{Group: proposal.Group(chosen), Data: k.public}}, next.crashNotify()...))
	if s.state != saEstablished { // the response could not be protected, and the IKE SA has ended
		next.remove()
		return
	}
	s.succ.theirs, s.succ.nonces = next, n
	if _, ours := s.work.Current().(*rekeyExchange); !ours {
		s.acceptPeers()
	}
}
