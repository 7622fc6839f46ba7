package ike

import (
	"time"

	"culvert/ike/timer"
)

// Lifetimes of a Child SA pair: when it is rekeyed and when it expires.

// schedule sets the pair's timers. The creator rekeys clearly before the other side would, so that
// with equal lifetimes the two rekeyings do not collide each time.
func (p *pair) schedule() {
	e, life := p.owner.e, p.policy.cfg.Lifetime
	if life <= 0 {
		return
	}
	soft := rekeyMargin(e, life, p.creator)
	p.dates.rekeyAt = e.handling.now.Add(soft)
	e.after(&p.dates.soft, soft)
	e.after(&p.dates.hard, life+life/10)
}

// rekeyMargin returns the age at which an SA of this lifetime is rekeyed: by its creator after 90
// to 97% of its life, by the other side after 98 to 100%. It is random, because "the timing of
// rekeying requests SHOULD be jittered" (RFC 7296, Section 2.8.1).
func rekeyMargin(e *Engine, life time.Duration, creator bool) time.Duration {
	if creator {
		return life - life*3/100 - timer.Fraction(life*7/100, e.cfg.Rand)
	}
	return life - timer.Fraction(life*2/100, e.cfg.Rand)
}

// unsure reports whether the peer may not have the pair yet, and it is worth waiting until it does.
func (p *pair) unsure() bool {
	return !p.proven() && p.owner.e.handling.now.Sub(p.dates.born) < provenLimit
}

// softDue is called at the soft end of the pair's lifetime. A pair for a single resource is not
// rekeyed if it was never used, because a peer may delete idle ones (RFC 9611, Section 3). So the
// dataplane is asked first; if it does not answer, the pair counts as used.
func (p *pair) softDue() {
	if p.judged = !p.judged && !p.chain.isMain() && p.state == pairLive; !p.judged {
		p.softEnd()
		return
	}
	p.owner.e.after(&p.dates.soft, timer.TemporaryPause)
	p.owner.e.emit(NeedTraffic{ID: p.sa.ID})
}

// judge decides about a pair for a single resource after the dataplane's answer.
func (p *pair) judge() {
	p.judged = false
	if p.state != pairLive || p.chain.isMain() || !p.traffic.in.IsZero() || !p.traffic.out.IsZero() {
		p.softEnd()
		return
	}
	p.delete(endReplaced, "its worker had nothing to send")
}

// softEnd rekeys the pair.
func (p *pair) softEnd() {
	if p.owner == nil || p.state != pairLive || p.rekeying != nil || p.owner.state != saEstablished {
		return
	}
	if !p.proven() {
		p.owner.e.after(&p.dates.soft, timer.TemporaryPause)
		return
	}
	p.rekeying = newChildExchange(p.policy, p)
	if p.chain.isMain() {
		p.policy.busy = true
	}
	p.owner.enqueue(p.rekeying)
}

// hardEnd deletes the pair, even if it could not be rekeyed: an expired SA must not be used (RFC
// 4301, Section 4.4.2.1).
func (p *pair) hardEnd() {
	p.delete(endExpired, "its lifetime has expired")
}

// A pair that the peer may not have yet is not deleted until provenLimit after its creation. It is
// looked at again every deletePause.
const (
	provenLimit = 10 * time.Second
	deletePause = 500 * time.Millisecond
)

// delete sends a Delete for the pair, which ends when the peer has answered.
func (p *pair) delete(cause endCause, why string) {
	if p.owner == nil || p.state == pairDeleting || p.owner.state.ending() {
		return
	}
	s := p.owner
	if p.unsure() {
		// The peer would not know the pair yet, and would install it when our response arrives.
		p.dates.use.Fire = func() { p.delete(cause, why) }
		s.e.after(&p.dates.use, deletePause)
		return
	}
	p.moveTo(pairDeleting)
	s.e.timers.Stop(&p.dates.use)
	s.e.timers.Stop(&p.dates.soft)
	s.e.timers.Stop(&p.dates.hard)
	p.answerEnd(why)
	switch successor := p.chain.best(); {
	case p.outbound != outActive:
	case successor != nil && successor.sa.ID > p.sa.ID:
		p.giveWay(s.e, successor)
	case successor == nil && p.policy.sendsBeside(p): // a pair of another chain takes over its traffic
		p.quiet(s.e)
	}
	s.enqueue(&informational{kind: askDelete, pairs: []*pair{p}, cause: cause, why: why})
}
