package dataplane

import (
	"slices"
	"time"

	"culvert/esp"
	"culvert/selector"
	"culvert/tun/gso"
)

// Only the first fragment of a datagram has ports. If the selectors of a policy or an SA tell ports
// apart, the later fragments follow the first: outbound to its SA, inbound they are admitted if it
// was (RFC 4301, Section 7.3 and Appendix D). Nothing is reassembled; bounded tables remember the
// first fragments.
//
//	to the peer:    policy and SA are those of the first fragment's flow
//	from the peer:  the flow of a first fragment that came by the same policy must match the SA
//
// No later fragment may overlap its first, whose ports it could overwrite in the reassembled
// datagram. A first fragment too short for its ports does not match such a selector by itself.

// tellsPorts reports whether selectors match only some ports, of packets with visible ports.
func tellsPorts(list []selector.Selector) bool {
	return slices.ContainsFunc(list, func(s selector.Selector) bool { return !s.AnyPorts() && !s.OpaquePorts() })
}

// notePorts updates the number of policies that tell ports apart, and whether the slot's policy
// takes fragments without ports. Plane.mu is held.
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

// withoutPorts returns the flow as a later fragment shows it.
func withoutPorts(f *selector.Flow) selector.Flow {
	return selector.Flow{Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, PortsUnknown: true}
}

// outboundFragment sends a fragment when some policy tells ports apart.
func (t *tx) outboundFragment(x *txPacket) {
	if x.hdr.Fragment == selector.FirstFragment {
		t.outboundFirst(x)
		return
	}
	t.outboundLater(x)
}

// outboundFirst sends a first fragment. It notes the flow unless later fragments find the same
// policy by themselves, or one for fragments without ports.
func (t *tx) outboundFirst(x *txPacket) {
	hdr := &x.hdr
	s, ok := t.plane.policyFor(&hdr.Flow)
	bare := withoutPorts(&hdr.Flow)
	var waiting []heldFragment
	if later, found := t.plane.policyFor(&bare); !found || later.slot != s.slot && !later.opaque.Load() {
		d, _, end := hdr.FragmentOf(x.pkt.Data)
		waiting = t.plane.fragmentsOut.first(fragmentKey{DatagramID: d}, &hdr.Flow, end, t.nowNano)
	}
	if !ok {
		t.uncovered(x)
	} else {
		t.dispatch(x, s, &hdr.Flow)
	}
	for _, h := range waiting {
		t.home.mail.put(queuedPacket{pkt: h.pkt, since: h.since, thread: t.home})
	}
}

// outboundLater sends a later fragment with its first one, or by its own headers, or holds it.
func (t *tx) outboundLater(x *txPacket) {
	hdr := &x.hdr
	bare, found := t.plane.policyFor(&hdr.Flow)
	if found && bare.opaque.Load() {
		t.dispatch(x, bare, &hdr.Flow)
		return
	}
	var hold *heldFragment
	if !found {
		hold = &heldFragment{pkt: *x.pkt, since: x.since}
	}
	d, begin, _ := hdr.FragmentOf(x.pkt.Data)
	flow, where := t.plane.fragmentsOut.later(fragmentKey{DatagramID: d}, begin, t.nowNano, hold)
	switch {
	case where == fragmentKnown:
		if s, ok := t.plane.policyFor(&flow); ok {
			t.dispatch(x, s, &flow)
			return
		}
		t.tally.add(dropNoPolicy, 1)
	case where == fragmentUnknown && found:
		t.dispatch(x, bare, &hdr.Flow)
	case where != fragmentHeld:
		t.tally.add(dropFragmentOut, 1)
	}
}

// admitLater reports whether to admit a later fragment that the selectors of its SA do not match by
// itself: they must match the first fragment of its datagram, which was admitted before. A fragment
// that comes before its first one is held.
func (r *rx) admitLater(x *rxPacket) bool {
	c, hdr := x.sa, &x.hdr
	if !containsAddr(c.sa.LocalTS, hdr.Dst) || !containsAddr(c.sa.RemoteTS, hdr.Src) {
		r.drop(c, dropSelector)
		return false
	}
	d, begin, _ := hdr.FragmentOf(x.esp.Data)
	hold := &heldFragment{pkt: gso.Packet{Data: x.esp.Data[:hdr.TotalLen]}, id: c.sa.ID, next: x.esp.Next, tos: x.tos}
	flow, where := r.plane.fragmentsIn.later(fragmentKey{c.sa.Policy, d}, begin, r.nowNano, hold)
	switch {
	case where == fragmentHeld:
		return false
	case where == fragmentKnown && selector.MatchInbound(&flow, c.sa.LocalTS, c.sa.RemoteTS):
		return true
	}
	r.drop(c, dropFragmentIn)
	return false
}

// followFirst records that the first fragment x came in, and delivers the fragments that waited for
// it.
func (r *rx) followFirst(x *rxPacket) {
	c := x.sa
	bare := withoutPorts(&x.hdr.Flow)
	if selector.MatchInbound(&bare, c.sa.LocalTS, c.sa.RemoteTS) {
		return
	}
	d, _, end := x.hdr.FragmentOf(x.esp.Data)
	for _, h := range r.plane.fragmentsIn.first(fragmentKey{c.sa.Policy, d}, &x.hdr.Flow, end, r.nowNano) {
		r.deliver(&rxPacket{sa: c, esp: &esp.Packet{Data: h.pkt.Data, Next: h.next}, tos: h.tos})
	}
}

// tickFragments counts the fragments that waited for their first one for too long.
func (p *Plane) tickFragments(now time.Time) {
	if n := len(p.fragmentsOut.tick(now.UnixNano())) + p.partials.tick(now.UnixNano()); n > 0 {
		p.tally.add(dropFragmentOut, n)
	}
	for _, h := range p.fragmentsIn.tick(now.UnixNano()) {
		p.tally.add(dropFragmentIn, 1)
		if c := p.pairByID(h.id); c != nil {
			c.drops[dropFragmentIn].Add(1)
		}
	}
}
