package ike

import (
	"culvert/ike/child"
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
	pol, flow := l.Policy(), l.Flow()
	if pol.SinglePair {
		entry := entryOf(pol)
		return pairOf(flow, entry.Local, entry.Remote)
	}
	missingLocal, missingRemote := l.Missing()
	source, destination := selector.Specific(flow)
	return fit(append([]selector.Selector{source}, missingLocal...), append([]selector.Selector{destination}, missingRemote...))
}

// pairOf returns selectors of the flow's two addresses only, within those of the policy.
func pairOf(flow *selector.Flow, local, remote []selector.Selector) (ours, theirs []selector.Selector) {
	return selector.Narrow([]selector.Selector{selector.FromAddr(flow.Src)}, local), selector.Narrow([]selector.Selector{selector.FromAddr(flow.Dst)}, remote)
}

// onePairOnly notes a peer that wants a Child SA for each pair of addresses. The next request is
// for those of the packet alone, as RFC 7296, Section 2.9 expects.
func (o *childOffer) onePairOnly(kind wire.NotifyType) {
	if kind == wire.SinglePairRequired {
		o.policy.SinglePair = true
	}
}

// acceptPart ends our exchange for a part, which is installed.
func (x *childExchange) acceptPart(s *ikeSA, p *child.Pair) {
	if x.chain.Carries() {
		x.chain.PartMade()
	} else {
		x.chain.PartRefused("the peer granted something else: remote " + child.ListSelectors(p.SA.RemoteTS))
	}
	s.useNow(p)
	p.CameUp()
}

// refusedPart reacts to an error response. The other Child SAs of the policy stay as they are.
func (x *childExchange) refusedPart(s *ikeSA, kind wire.NotifyType) {
	x.release(s)
	x.onePairOnly(kind)
	if kind == wire.TemporaryFailure {
		x.chain.PausePart(timer.TemporaryWait(s.e.cfg.Rand))
		return
	}
	x.chain.PartRefused(refusalText(kind))
}
