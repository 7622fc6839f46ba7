package ike

import (
	"time"

	"culvert/internal/ipsec"
)

// Of a peer that answers no probes only packets show whether ESP passes. To try it costs none, as
// long as another one works: some of the packets of that one are sent to it as well, and anything
// that comes on its SAs shows that it works. Nothing for a while after the first copy shows that it
// does not (fellSilent), unless nothing comes on those of the other one either.
//
//	packets       -->  the active policy: all of them
//	              -->  the policy that is tried: a few, as copies
//	                   <--  an answer: it works
//
// Where both work, these few packets reach the networks behind the peers twice. IP allows that.
const (
	// trialCopies bounds the copies of one trial, for each policy. They are at least 100 ms apart
	// (CopyPackets), so that some 20 fall into the time for an answer.
	trialCopies = 32
	copyAnswer  = 2 * time.Second // after the first copy
	copyLook    = 250 * time.Millisecond
	idleLook    = time.Second // while no packet flows that could be copied
)

// A copyTrial is a trial by copies under way.
type copyTrial struct {
	since time.Time // zero: none is
	sent  time.Time // when it was found that a copy was sent; zero: none was
}

func (t *copyTrial) underWay() bool { return !t.since.IsZero() }

// another returns the policy that is active and well in place of the member, whose packets may be
// copied to try it, or nil.
func (m *standbyMember) another() *standbyMember {
	a := m.group.active
	if a == nil || a == m || a.ill != "" || !m.pol.Sends() {
		return nil
	}
	return a
}

// tryByCopies begins a trial by copies unless one is under way, and reports whether there is one:
// it needs another policy that works.
func (m *standbyMember) tryByCopies() bool {
	d, e := &m.data, m.group.e
	if d.copies.underWay() {
		return true
	}
	if !m.copy() {
		return false
	}
	d.copies = copyTrial{since: e.handling.now}
	e.after(&d.timer, copyLook)
	return true
}

// copy has packets copied, and reports whether there is a policy for that.
func (m *standbyMember) copy() bool {
	of := m.another()
	if of == nil {
		return false
	}
	m.group.e.emit(CopyPackets{Of: of.pol.ID, On: m.pol.ID, N: trialCopies})
	return true
}

// endCopies ends a trial by copies.
func (m *standbyMember) endCopies() {
	d, e := &m.data, m.group.e
	if !d.copies.underWay() {
		return
	}
	d.copies = copyTrial{}
	e.emit(CopyPackets{On: m.pol.ID})
	e.after(&d.timer, probeEvery)
}

// watchCopies asks what was sent and has come. While no packet was there to be copied the request
// is made again, as another policy may be active; one that never failed is not kept waiting.
func (m *standbyMember) watchCopies() {
	d, e := &m.data, m.group.e
	now, look := e.handling.now, copyLook
	if d.copies.sent.IsZero() && now.Sub(d.copies.since) > copyAnswer {
		look = idleLook
		first := !m.failed && d.silent.IsZero()
		if first {
			d.idle = now
		}
		if first || !m.copy() {
			m.endCopies()
			e.touch(m.party())
			return
		}
	}
	e.askTraffic(m.pol)
	if of := m.another(); of != nil {
		e.askTraffic(of.pol)
	}
	e.after(&d.timer, look)
	e.touch(m.party())
}

// judgeCopies draws the conclusions from what was seen in a trial by copies.
func (m *standbyMember) judgeCopies() {
	d, now, seen := &m.data, m.group.e.handling.now, lastSeen(m.pol)
	of := m.another()
	switch t := &d.copies; {
	case seen.In.After(t.since):
		m.endCopies()
	case t.sent.IsZero() && seen.Out.After(t.since):
		t.sent = now
	case t.sent.IsZero() || now.Sub(t.sent) < copyAnswer:
	case d.silent.IsZero() && (of == nil || !lastSeen(of.pol).In.After(t.since)):
		d.alike = now
		m.endCopies()
	default:
		m.endCopies()
		d.silent = time.Time{} // what follows counts from now
		m.fellSilent()
	}
}

// CopyPackets asks that up to N of the next packets of a policy, at least 100 ms apart, are sent on
// an SA of another one as well; 0: no more. It replaces what was asked for before of that other
// one.
type CopyPackets struct {
	Of, On ipsec.PolicyID
	N      int
}

func (CopyPackets) isEffect() {}
