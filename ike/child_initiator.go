package ike

import (
	"errors"
	"slices"

	"culvert/ike/child"
	"culvert/ike/proposal"
	"culvert/ike/reason"
	"culvert/ike/suite"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// childExchange is our CREATE_CHILD_SA exchange for a Child SA (RFC 7296, Sections 1.3.1 and
// 1.3.3):
//
//	HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}  -->
//	                                                  <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr}
type childExchange struct {
	childOffer
	groupChoice
	nonce []byte
	ke    suite.KeyExchange
	// deleted holds SPIs that the peer deleted while the request was outstanding, and that are not
	// known here: one may be the peer's of the response, which was lost until then.
	deleted []uint32
}

// maxDeleted bounds the SPIs that are kept: the peer deletes what it made once, and one Child SA is
// made at a time.
const maxDeleted = 8

// noteDeleted keeps the SPI of a Child SA that the peer deleted and that is not known here.
func (x *childExchange) noteDeleted(spi uint32) {
	if len(x.deleted) < maxDeleted {
		x.deleted = append(x.deleted, spi)
	}
}

// newChildExchange returns a request for a Child SA of the policy, which replaces old unless that
// is nil.
func newChildExchange(pol *child.Policy, old *child.Pair) *childExchange {
	return &childExchange{childOffer: childOffer{policy: pol, old: old}}
}

func (x *childExchange) activity() ikeActivity { return ikeChildren }

func (x *childExchange) start(s *ikeSA) {
	if x.needless(s) {
		x.finish(s)
		return
	}
	err := x.prepare(s, false)
	if err != nil && x.moves != nil && x.like == nil {
		x.moves.later(x.policy)
	}
	if err == nil && len(s.children.Pairs()) >= x.maxChildren(s) {
		err = errors.New("the IKE SA has reached its limit of Child SAs")
	}
	if err != nil {
		x.fail(s, startFacts(err))
		x.postpone(s)
		x.finish(s)
		return
	}
	if x.beside() {
		x.chain.Asking()
	}
	x.group = firstGroup(x.policy, x.offers)
	x.begin(s)
}

// maxChildren returns how many Child SAs the IKE SA may have before the exchange makes another one.
// Parts leave half of them to the first Child SAs of other policies.
func (x *childExchange) maxChildren(s *ikeSA) int {
	if x.part() {
		return s.e.cfg.Limits.MaxChildren / 2
	}
	return s.maxChildren(x.old)
}

// maxChildren returns how many Child SAs the IKE SA may have before another one is made. One that
// replaces old is not one more, but the old ones stay for a while.
func (s *ikeSA) maxChildren(old *child.Pair) int {
	if old != nil {
		return 2 * s.e.cfg.Limits.MaxChildren
	}
	return s.e.cfg.Limits.MaxChildren
}

// needless reports whether, when the exchange's turn comes, its purpose is already met or gone.
func (x *childExchange) needless(s *ikeSA) bool {
	if x.old != nil {
		return x.old.State() != child.Live || saOf(x.old) != s || x.crossed()
	}
	if x.beside() {
		return x.chain.Needless(&s.children)
	}
	if x.like != nil {
		return !x.policy.Wanted() || x.like.State() != child.Live || s.children.InPlaceOf(x.like) != nil
	}
	for _, p := range x.policy.Pairs() {
		if p.State() == child.Live && !p.Carrier().Ending() && (x.moves == nil || saOf(p) == s) {
			return true
		}
	}
	return !x.policy.Wanted()
}

// begin makes a new nonce and, if there is a key exchange, our half of it, and sends the request.
func (x *childExchange) begin(s *ikeSA) {
	var err error
	if x.nonce, err = s.e.nonce(); err != nil {
		x.failed(s, ownFault("no randomness: "+err.Error()))
		return
	}
	if x.group == wire.GroupNone {
		x.send(s)
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
		x.send(s)
	})
}

func (x *childExchange) send(s *ikeSA) {
	var ps []wire.Payload
	if x.old != nil {
		ps = append(ps, &wire.Notify{Protocol: wire.ProtoESP, SPI: spiOctets(x.old.SA.SPIIn), Kind: wire.RekeySA})
	}
	ps = append(ps, x.sa(), &wire.Nonce{Data: x.nonce})
	if x.ke != nil {
		ps = append(ps, &wire.KE{Group: x.group, Data: x.ke.Public()})
	}
	s.ask(wire.CreateChildSA, slices.Concat(ps, x.selectors(), x.info(s)))
}

func (x *childExchange) response(s *ikeSA, ps []wire.Payload) {
	if n, ok := wire.FindError(ps); ok {
		if x.left {
			x.release(s)
			x.finish(s)
			return
		}
		if n.Kind == wire.InvalidKEPayload {
			if x.correct(n.Data, x.offers) == nil {
				x.begin(s)
				return
			}
			f := x.groupFacts(reason.ESPProposal, wire.CreateChildSA, n.Data, x.offers)
			x.wrongGroup = &f
		}
		x.refused(s, n.Kind)
		return
	}
	sa, _ := wire.Find[*wire.SA](ps)
	nonce, _ := wire.Find[*wire.Nonce](ps)
	n := noncePair{Ni: x.nonce, Nr: nonce.Data}
	if len(sa.Proposals) != 1 || proposal.Group(sa.Proposals[0]) == wire.GroupNone {
		x.accept(s, ps, n, nil)
		return
	}
	ke, ok := wire.Find[*wire.KE](ps)
	if !ok || x.ke == nil || ke.Group != x.group || proposal.Group(sa.Proposals[0]) != x.group {
		x.unacceptable(s, errors.New("its key exchange differs from ours"))
		return
	}
	s.e.sharedKey(x.ke, ke.Data, func(k keyPair) {
		switch {
		case !s.holds(x):
		case k.err != nil:
			x.unacceptable(s, k.err)
		default:
			x.accept(s, ps, n, k.shared)
		}
	})
}

// accept takes the response. A pair that the peer has deleted since it sent that ends at once, as
// if the Delete had come now.
func (x *childExchange) accept(s *ikeSA, ps []wire.Payload, n noncePair, shared []byte) {
	p := x.conclude(s, ps, n, shared)
	x.install(s, ps, p)
	if p != nil && p.Carrier() != nil && slices.Contains(x.deleted, p.SA.SPIOut) {
		p.Lost(child.EndPeer, "the peer deleted it")
	}
}

// install has the pair of a response used. At a rekeying it also decides about the old pair, and
// about one that the peer made meanwhile. p is nil if there is none.
func (x *childExchange) install(s *ikeSA, ps []wire.Payload, p *child.Pair) {
	if p == nil {
		x.postpone(s)
		x.finish(s)
		return
	}
	learn(x.policy, negotiated(p).proposal)
	switch {
	case x.further():
		x.acceptFurther(s, p, ps)
		x.finish(s)
		return
	case x.part():
		x.acceptPart(s, p)
		x.finish(s)
		return
	case x.old == nil:
		s.useNow(p)
		p.CameUp()
		x.finish(s)
		return
	}
	p.Replaces(x.old)
	x.old.Answer(nil)
	x.settle(p)
	x.finish(s)
}

// finish ends the exchange, whatever its outcome.
func (x *childExchange) finish(s *ikeSA) {
	x.settled()
	if x.old != nil {
		x.old.RekeyEnded()
	}
	s.done(x)
}

func (x *childExchange) abandon(s *ikeSA, why string) {
	x.childOffer.abandon(s, why)
	if x.old == nil {
		if main := s.party.main(); x.part() && x.unheard && main != nil && main != s && !x.policy.Held() {
			x.chain.PartUnanswered()
		}
		return
	}
	x.old.RekeyEnded()
	x.old.Answer(errors.New(why))
	if x.old.Carrier() != nil && x.old.State() == child.Live { // a successor of the IKE SA may have it
		x.old.RekeyIn(timer.TemporaryWait(s.e.cfg.Rand))
	}
}

// useNow starts sending on a pair that we asked for, after duplicate IKE SAs are settled.
func (s *ikeSA) useNow(p *child.Pair) {
	s.party.settleDuplicates()
	p.UseNow()
}
