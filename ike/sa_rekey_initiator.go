package ike

import (
	"encoding/binary"
	"errors"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/suite"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// rekeyExchange is our CREATE_CHILD_SA exchange that replaces an IKE SA (RFC 7296, Sections 1.3.2,
// 2.18 and 2.8.2):
//
//	HDR, SK {SA, Ni, KEi}  -->
//	                       <--  HDR, SK {SA, Nr, KEr}
//
// The new IKE SA inherits the Child SAs, and its creator deletes the old one.
type rekeyExchange struct {
	groupChoice
	next   *ikeSA // an embryo until the response has come
	offers []wire.Proposal
	nonce  []byte
	ke     suite.KeyExchange
}

func (x *rekeyExchange) activity() ikeActivity { return ikeRekeying }

func (x *rekeyExchange) start(s *ikeSA) {
	if !s.usable() || s.succ.theirs != nil {
		x.leave(s, nil)
		return
	}
	if s.win.Pending() { // the peer's request for a Child SA comes first
		s.e.after(&s.life.rekey, timer.TemporaryPause)
		x.leave(s, nil)
		return
	}
	next, err := s.e.newSA(true, saEmbryo)
	if err != nil {
		x.failed(s, ownFault("no randomness: "+err.Error()))
		return
	}
	x.next = next
	x.offers = proposal.Numbered(s.rekeyProposals(), binary.BigEndian.AppendUint64(nil, uint64(next.spi.I)))
	x.group = proposal.Group(x.offers[0])
	x.begin(s)
}

// rekeyProposals returns the peer's proposals, the current one first, because a rekeying should
// keep the algorithms. It offers no PRF but the current one, even to a peer that would prefer
// another: implementations disagree on which of two PRFs derives the keys (strongSwan 5.9 uses the
// old one throughout, RFC 7296, Section 2.18 the new one for prf+). A PRF that is no longer
// configured is replaced nevertheless.
func (s *ikeSA) rekeyProposals() []wire.Proposal {
	ps := s.party.cfg.Proposals
	current := s.keys.proposal
	current.SPI = nil
	if _, ok := proposal.Choose(ps, []wire.Proposal{current}); !ok {
		return ps
	}
	offers := []wire.Proposal{current}
	for _, p := range ps {
		if p, ok := proposal.WithPRF(p, s.keys.suite.PRF); ok {
			offers = append(offers, p)
		}
	}
	return proposal.Distinct(offers)
}

func (x *rekeyExchange) begin(s *ikeSA) {
	var err error
	if x.nonce, err = s.e.nonce(); err != nil {
		x.failed(s, ownFault("no randomness: "+err.Error()))
		return
	}
	s.e.newKey(x.group, func(k keyPair) {
		if !s.unsent(x) {
			return
		}
		if k.err != nil {
			x.failed(s, ownFault("the key exchange failed to start: "+k.err.Error()))
			return
		}
		x.ke = k.ke
		s.ask(wire.CreateChildSA, []wire.Payload{&wire.SA{Proposals: x.offers}, &wire.Nonce{Data: x.nonce}, &wire.KE{Group: x.group, Data: k.public}})
	})
}

func (x *rekeyExchange) response(s *ikeSA, ps []wire.Payload) {
	if n, ok := wire.FindError(ps); ok {
		if n.Kind == wire.InvalidKEPayload && x.correct(n.Data, x.offers) == nil {
			x.begin(s)
			return
		}
		x.refused(s, n)
		return
	}
	sa, _ := wire.Find[*wire.SA](ps)
	nonce, _ := wire.Find[*wire.Nonce](ps)
	ke, _ := wire.Find[*wire.KE](ps)
	if err := x.check(sa, ke); err != nil {
		// The peer has a successor by now that we cannot use, so the two sides disagree.
		x.leave(s, err)
		s.fail("the response to our rekeying is not acceptable: " + err.Error())
		return
	}
	s.e.sharedKey(x.ke, ke.Data, func(k keyPair) {
		switch {
		case !s.holds(x):
		case k.err != nil:
			x.leave(s, k.err)
			s.fail("the peer's key exchange value is invalid: " + k.err.Error())
		default:
			next := x.next
			x.accept(s, sa.Proposals[0], noncePair{Ni: x.nonce, Nr: nonce.Data}, k.shared)
			next.token.take(ps)
		}
	})
}

func (x *rekeyExchange) check(sa *wire.SA, ke *wire.KE) error {
	if len(sa.Proposals) != 1 || len(sa.Proposals[0].SPI) != 8 {
		return errors.New("it has no proposal with an SPI")
	}
	if err := proposal.CheckAnswer(x.offers, sa.Proposals[0]); err != nil {
		return err
	}
	if proposal.Group(sa.Proposals[0]) != x.group || ke.Group != x.group {
		return errors.New("its key exchange differs from ours")
	}
	return nil
}

// refused reacts to an error response.
func (x *rekeyExchange) refused(s *ikeSA, n *wire.Notify) {
	s.life.tries++
	f := x.facts(n)
	switch reaction, text := reactTo(n.Kind, false, s.life.tries, s.life.presses()), f.Trouble().Reason; {
	case s.succ.theirs != nil:
		// The peer did not notice the simultaneous rekeying, so our own is dropped (RFC 7296,
		// Section 2.8.2).
		s.succ.acceptPeers()
		x.leave(s, nil)
	case reaction == reactWait:
		if s.life.tries == 1 {
			s.notice(Info, eventPostponed, text+"; it is tried again")
		}
		s.e.after(&s.life.rekey, timer.IKETemporaryWait(s.e.cfg.Rand))
		x.leave(s, nil)
	case reaction == reactReplaceIKE:
		x.failed(s, f)
		s.succ.outOfSync("rekeying the IKE SA failed: " + text + ", each time")
	default:
		x.failed(s, f)
		s.succ.wontLive("rekeying the IKE SA failed: " + text)
	}
}

// eventPostponed is the event of the first of several temporary refusals of a rekeying.
const eventPostponed = "rekey-postponed"

// failed schedules the next attempt. The hard lifetime of the IKE SA does not change.
func (x *rekeyExchange) failed(s *ikeSA, f reason.Facts) {
	t := f.Trouble()
	s.fails("ike-rekey-failed", t)
	s.e.after(&s.life.rekey, timer.Longer(rekeyPause, s.e.cfg.Rand))
	x.leave(s, reason.Err(t, ""))
}

// facts are the facts of an error response.
func (x *rekeyExchange) facts(n *wire.Notify) reason.Facts {
	f := reason.Facts{Cause: reason.Answered, In: wire.CreateChildSA, Answer: n.Kind, Ours: reason.Offer{Proposals: x.offers}}
	switch n.Kind {
	case wire.NoProposalChosen:
		f.Cause = reason.IKEProposal
	case wire.InvalidKEPayload:
		f = x.groupFacts(reason.IKEProposal, wire.CreateChildSA, n.Data, x.offers)
	}
	return f
}

// leave ends the exchange without a successor. Waiting commands are answered only if err is not
// nil, that is, if there is no successor soon.
func (x *rekeyExchange) leave(s *ikeSA, err error) {
	if x.next != nil && x.next.state == saEmbryo {
		x.next.remove()
	}
	x.next = nil
	if s.succ.ours == x {
		s.succ.ours = nil
	}
	if err != nil {
		s.e.answerRefs(&s.life.refs, err)
	}
	s.done(x)
}

func (x *rekeyExchange) abandon(s *ikeSA, why string) { x.leave(s, errors.New(why)) }

// accept makes the successor, and decides between it and one that the peer has made meanwhile.
func (x *rekeyExchange) accept(s *ikeSA, chosen wire.Proposal, n noncePair, shared []byte) {
	next := x.next
	next.spi.R = wire.SPI(binary.BigEndian.Uint64(chosen.SPI))
	keys, err := next.rekeyKeys(s, chosen, shared, n)
	if err != nil {
		x.leave(s, err)
		s.fail("cannot derive the keys: " + err.Error())
		return
	}
	x.next, s.succ.ours = nil, nil
	next.succ.succeed(s, keys)
	s.life.resume()
	if s.state != saEstablished { // closed meanwhile; but the peer has handed over to the successor
		s.done(x)
		next.closeAs(child.EndLocal, "its predecessor was closed")
		return
	}
	theirs := s.succ.theirs
	if s.succ.successor != nil { // the peer already uses its own successor
		s.done(x)
		next.closeAs(child.EndReplaced, "redundant: both sides rekeyed at the same time")
		return
	}
	if theirs == nil || theirs.state.ending() || compareRekeys(n, s.succ.nonces) == keepOurs {
		s.succ.theirs = nil
		if theirs != nil {
			theirs.succ.becomeRedundant()
		}
		next.token.give()
		s.succ.handOver(next)
		s.done(x)
		s.enqueue(&informational{kind: askClose, payloads: []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, cause: child.EndReplaced, why: "rekeyed"})
		return
	}
	s.succ.acceptPeers()
	s.done(x)
	next.closeAs(child.EndReplaced, "redundant: both sides rekeyed at the same time")
}
