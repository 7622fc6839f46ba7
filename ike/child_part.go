package ike

import (
	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/selector"
)

// A Child SA for a part of a policy that no other one carries. It is asked for by a packet (RFC
// 7296, Section 2.9):
//
//	HDR, SK {SA, Ni, [KEi,]
//	         TSi(the packet's source, what is missing),
//	         TSr(the packet's destination, what is missing)}  -->
//	                                    <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr}
//	                                    <--  HDR, SK {N(TS_UNACCEPTABLE)}

// beside reports whether the offer is of a Child SA beside that of the main chain.
func (o *childOffer) beside() bool { return o.chain != nil }

// part reports whether the offer is of a Child SA for a part of the policy.
func (o *childOffer) part() bool { return o.beside() && o.chain.Resource() == 0 }

// partToOffer returns TSi and TSr of a request for a part.
func partToOffer(l *child.Chain) (local, remote []selector.Selector) {
	if local, remote, ok := l.Single(); ok {
		return local, remote
	}
	missingLocal, missingRemote := l.Missing()
	source, destination := selector.Specific(l.Flow())
	return fit(append([]selector.Selector{source}, missingLocal...), append([]selector.Selector{destination}, missingRemote...))
}

// takesLess reports whether the peer refused the offer as it makes Child SAs for a single pair of
// networks or addresses only, and can be asked for one at once: "The requestor is expected to
// respond by requesting an SA for only the specific traffic it is trying to forward" (RFC 7296,
// Section 2.9).
func (o *childOffer) takesLess(kind wire.NotifyType) bool {
	if kind != wire.SinglePairRequired || o.left || o.old != nil || o.like != nil || o.further() {
		return false
	}
	flow := o.policy.Flow()
	if o.part() {
		flow = o.chain.Flow()
	}
	return o.policy.RequireLess(flow)
}

// askForLess sends a refused request again, for a single pair, and reports whether it does.
func (x *childExchange) askForLess(s *ikeSA, kind wire.NotifyType) bool {
	if s.state.ending() || !x.takesLess(kind) {
		return false
	}
	x.release(s)
	x.groupChoice, x.wrongGroup = groupChoice{}, nil
	if err := x.prepare(s, false); err != nil {
		x.failed(s, ownFault(err.Error()))
		return true
	}
	x.group = firstGroup(x.policy, x.offers)
	x.begin(s)
	return true
}

// acceptPart ends our exchange for a part, which is installed.
func (x *childExchange) acceptPart(s *ikeSA, p *child.Pair) {
	if x.chain.Carries() {
		x.chain.PartMade()
	} else {
		x.chain.PartRefused(reason.Facts{Cause: reason.Networks, Why: "the peer granted something else: remote " + reason.List(p.SA.RemoteTS)}.Trouble())
	}
	s.useNow(p)
	p.CameUp()
}

// refusedPart reacts to an error response. The other Child SAs of the policy stay as they are.
func (x *childExchange) refusedPart(s *ikeSA, kind wire.NotifyType) {
	x.release(s)
	if kind == wire.TemporaryFailure {
		x.chain.PausePart(timer.TemporaryWait(s.e.cfg.Rand))
		return
	}
	x.chain.PartRefused(x.facts(s, kind).Trouble())
}
