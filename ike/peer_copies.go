package ike

import (
	"iter"
	"time"

	"culvert/ike/child"
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

// tried yields the policies of the party whose group has another one that is active and well, and
// whose packets may be copied, with that one.
func (p *party) tried() iter.Seq2[*child.Policy, *child.Policy] {
	return func(yield func(on, of *child.Policy) bool) {
		for _, pol := range p.policies {
			g := p.e.standby.of[pol.ID]
			if g == nil || g.active == nil || g.active.pol == pol || g.active.ill != "" || !pol.Sends() {
				continue
			}
			if !yield(pol, g.active.pol) {
				return
			}
		}
	}
}

// tryByCopies begins a trial by copies unless one is under way, and reports whether there is one:
// it needs another policy that works.
func (p *party) tryByCopies() bool {
	d := &p.data
	if d.copies.underWay() {
		return true
	}
	if !p.copy() {
		return false
	}
	d.copies = copyTrial{since: p.e.handling.now}
	p.e.after(&d.timer, copyLook)
	return true
}

// copy has packets copied, and reports whether there are policies for that.
func (p *party) copy() (some bool) {
	for on, of := range p.tried() {
		p.e.emit(CopyPackets{Of: of.ID, On: on.ID, N: trialCopies})
		some = true
	}
	return some
}

// endCopies ends a trial by copies.
func (p *party) endCopies() {
	if !p.data.copies.underWay() {
		return
	}
	p.data.copies = copyTrial{}
	for _, pol := range p.policies {
		if p.e.standby.of[pol.ID] != nil {
			p.e.emit(CopyPackets{On: pol.ID})
		}
	}
	p.e.after(&p.data.timer, probeEvery)
}

// answeredElsewhere reports whether something has come since then on the SAs of those whose packets
// are copied.
func (p *party) answeredElsewhere(since time.Time) bool {
	for _, of := range p.tried() {
		for _, q := range of.Pairs() {
			if q.Seen().In.After(since) {
				return true
			}
		}
	}
	return false
}

// failedBefore reports whether the party, or one of its policies that are tried, has failed before.
func (p *party) failedBefore() bool {
	for on := range p.tried() {
		if p.e.standby.of[on.ID].member(on).failed {
			return true
		}
	}
	return !p.data.silent.IsZero()
}

// watchCopies asks what was sent and has come. While no packet was there to be copied the request
// is made again, as another policy may be active; a party that never failed is not kept waiting.
func (p *party) watchCopies() {
	d, now := &p.data, p.e.handling.now
	look := copyLook
	if d.copies.sent.IsZero() && now.Sub(d.copies.since) > copyAnswer {
		look = idleLook
		first := !p.failedBefore()
		if first {
			d.idle = now
		}
		if first || !p.copy() {
			p.endCopies()
			p.e.touch(p)
			return
		}
	}
	for on, of := range p.tried() {
		p.e.askTraffic(on)
		p.e.askTraffic(of)
	}
	p.e.after(&d.timer, look)
	p.e.touch(p)
}

// judgeCopies draws the conclusions from what was seen in a trial by copies.
func (p *party) judgeCopies() {
	d, now, seen := &p.data, p.e.handling.now, p.lastSeen()
	switch t := &d.copies; {
	case seen.In.After(t.since):
		p.endCopies()
	case t.sent.IsZero() && seen.Out.After(t.since):
		t.sent = now
	case t.sent.IsZero() || now.Sub(t.sent) < copyAnswer:
	case d.silent.IsZero() && !p.answeredElsewhere(t.since):
		d.alike = now
		p.endCopies()
	default:
		p.endCopies()
		d.silent = time.Time{} // what follows counts from now
		p.fellSilent()
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
