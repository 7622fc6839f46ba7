package dataplane

import (
	"culvert/internal/ipheader"
	"culvert/selector"
)

// A peer may grant less than a policy (RFC 7296, Section 2.9). A packet of the policy that no SA
// may carry is outside of what the peer granted. The control plane is asked for another SA; while
// it has none to offer, the sender is told at once, and the packet is counted at the child.

// refuse drops a packet for which no SA will come soon.
func (t *tx) refuse(x *txPacket, s *slot, flow *selector.Flow) {
	c := s.outside(flow)
	if c == nil {
		t.tally.add(dropNoSA, 1)
		t.sight(dropNoSA, s.policy, flow)
		return
	}
	// RFC 4301, Section 5.1.1, b1: the error is that of a policy that forbids the packet.
	t.drop(c, dropNotGranted)
	t.sight(dropNotGranted, s.policy, flow)
	t.answer(x, ipheader.Prohibited())
}

// outside returns the SA at which to count a flow of the policy that the selectors of no active SA
// match. It returns nil if there is no active SA, or if one that matches may send no more.
func (s *slot) outside(f *selector.Flow) *pair {
	set := s.sas.Load()
	if anyMatches(set.shared, f) {
		return nil
	}
	if set.workers != nil {
		for _, own := range set.workers.own {
			if anyMatches(own, f) {
				return nil
			}
		}
	}
	return set.first()
}

func anyMatches(list []outboundSA, f *selector.Flow) bool {
	for i := range list {
		if sa := &list[i].pair.sa; selector.MatchOutbound(f, sa.LocalTS, sa.RemoteTS) {
			return true
		}
	}
	return false
}
