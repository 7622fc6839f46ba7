package dataplane

import (
	"slices"
	"time"

	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// Only the first fragment of a datagram has ports. Where the selectors of a policy or an SA tell
// ports apart, the later ones go where the first one went, and are let in if it was (RFC 4301,
// Section 7.3 and Appendix D). Nothing is reassembled: it is the tables that remember, within
// bounds.
//
//	to the peer:    policy and SA are those of the first fragment's flow
//	from the peer:  the flow of a first fragment that came by the same policy must match the SA
//
// No later fragment may overlap its first, whose ports it could overwrite in the reassembled
// datagram. A first fragment too short for its ports matches no such selector by itself.

// tellsPorts reports whether selectors match only some ports, of packets whose ports can be seen.
func tellsPorts(list []selector.Selector) bool {
	return slices.ContainsFunc(list, func(s selector.Selector) bool { return !s.AnyPorts() && !s.OpaquePorts() })
}

// notePorts keeps the count of policies that tell ports apart, and whether the slot's is one for
// fragments without ports. Plane.mu is held.
func (p *Plane) notePorts(s *slot) {
	e := &s.entry
	tells := s.configured && (tellsPorts(e.Local) || tellsPorts(e.Remote))
	if tells != s.tellsPorts {
		s.tellsPorts = tells
		if tells {
			p.portPolicies.Add(1)
		} else {
			p.portPolicies.Add(-1)
		}
	}
	opaque := selector.Selector.OpaquePorts
	s.opaque.Store(slices.ContainsFunc(e.Local, opaque) || slices.ContainsFunc(e.Remote, opaque))
}

// withoutPorts is the flow as a later fragment shows it.
func withoutPorts(f *selector.Flow) selector.Flow {
	return selector.Flow{Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, PortsUnknown: true}
}

// outboundFragment sends a fragment where some policy tells ports apart.
func (w *worker) outboundFragment(x *txPacket, since time.Time) {
	if x.hdr.Fragment == selector.FirstFragment {
		w.outboundFirst(x, since)
		return
	}
	w.outboundLater(x, since)
}

// outboundFirst sends a first fragment, and notes its flow, unless its later ones find the same
// policy by themselves, or one that is for fragments without ports.
func (w *worker) outboundFirst(x *txPacket, since time.Time) {
	hdr := &x.hdr
	s, ok := w.plane.policyFor(&hdr.Flow)
	bare := withoutPorts(&hdr.Flow)
	var waiting []heldFragment
	if later, found := w.plane.policyFor(&bare); !found || later.slot != s.slot && !later.opaque.Load() {
		d, _, end := hdr.FragmentOf(x.pkt.Data)
		waiting = w.plane.fragmentsOut.first(fragmentKey{DatagramID: d}, &hdr.Flow, end, w.nowNano)
	}
	if !ok {
		w.uncovered(x, since)
	} else {
		w.dispatch(x, s, &hdr.Flow, since)
	}
	for _, h := range waiting {
		w.mail.put(queuedPacket{pkt: h.pkt, since: h.since, worker: w})
	}
}

// outboundLater sends a later fragment as its first one, or by what its headers say, or holds it.
func (w *worker) outboundLater(x *txPacket, since time.Time) {
	hdr := &x.hdr
	bare, found := w.plane.policyFor(&hdr.Flow)
	if found && bare.opaque.Load() {
		w.dispatch(x, bare, &hdr.Flow, since)
		return
	}
	var hold *heldFragment
	if !found {
		hold = &heldFragment{pkt: *x.pkt, since: since}
	}
	d, begin, _ := hdr.FragmentOf(x.pkt.Data)
	flow, where := w.plane.fragmentsOut.later(fragmentKey{DatagramID: d}, begin, w.nowNano, hold)
	switch {
	case where == fragmentKnown:
		if s, ok := w.plane.policyFor(&flow); ok {
			w.dispatch(x, s, &flow, since)
			return
		}
		w.tally.add(dropNoPolicy, 1)
	case where == fragmentUnknown && found:
		w.dispatch(x, bare, &hdr.Flow, since)
	case where != fragmentHeld:
		w.tally.add(dropFragmentOut, 1)
	}
}

// admitLater lets in a later fragment that the selectors of c do not match by itself, if they match
// its datagram's first one, which was let in before. One that comes before it is held.
func (w *worker) admitLater(c *pair, plain *esp.Packet, hdr *selector.Packet, outerTOS uint8) bool {
	if !containsAddr(c.sa.LocalTS, hdr.Dst) || !containsAddr(c.sa.RemoteTS, hdr.Src) {
		w.drop(c, dropSelector)
		return false
	}
	d, begin, _ := hdr.FragmentOf(plain.Data)
	hold := &heldFragment{pkt: tun.Packet{Data: plain.Data[:hdr.TotalLen]}, id: c.sa.ID, next: plain.Next, tos: outerTOS}
	flow, where := w.plane.fragmentsIn.later(fragmentKey{c.sa.Policy, d}, begin, w.nowNano, hold)
	switch {
	case where == fragmentHeld:
		return false
	case where == fragmentKnown && selector.MatchInbound(&flow, c.sa.LocalTS, c.sa.RemoteTS):
		return true
	}
	w.drop(c, dropFragmentIn)
	return false
}

// followFirst notes that a first fragment came in by c, and lets in what waited for it.
func (w *worker) followFirst(c *pair, pkt []byte, hdr *selector.Packet) {
	bare := withoutPorts(&hdr.Flow)
	if selector.MatchInbound(&bare, c.sa.LocalTS, c.sa.RemoteTS) {
		return
	}
	d, _, end := hdr.FragmentOf(pkt)
	for _, h := range w.plane.fragmentsIn.first(fragmentKey{c.sa.Policy, d}, &hdr.Flow, end, w.nowNano) {
		w.deliver(c, &esp.Packet{Data: h.pkt.Data, Next: h.next}, h.tos)
	}
}

// tickFragments counts what waited for its first fragment for too long.
func (p *Plane) tickFragments(now time.Time) {
	if n := len(p.fragmentsOut.tick(now.UnixNano())); n > 0 {
		p.tally.add(dropFragmentOut, n)
	}
	for _, h := range p.fragmentsIn.tick(now.UnixNano()) {
		p.tally.add(dropFragmentIn, 1)
		if c := p.pairByID(h.id); c != nil {
			c.drops[dropFragmentIn].Add(1)
		}
	}
}
