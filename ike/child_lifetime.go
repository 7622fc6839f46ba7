package ike

import "time"

// The dates of a Child SA pair: when it is rekeyed, and how it ends.

// schedule sets the pair's dates. The creator's rekeying comes clearly before the other side's, so that with equal lifetimes the two do not collide each time.
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

// rekeyMargin returns the age at which an SA of this lifetime is rekeyed: by its creator after 90 to
// 97% of its life, by the other side after 98 to 100%. It is random, because "the timing of rekeying
// requests SHOULD be jittered" (RFC 7296, Section 2.8.1).
func rekeyMargin(e *Engine, life time.Duration, creator bool) time.Duration {
	if creator {
		return life - life*3/100 - fraction(life*7/100, e.cfg.Rand)
	}
	return life - fraction(life*2/100, e.cfg.Rand)
}

// unsure says that the peer may not have the pair yet, and that it is worth waiting until it surely has.
func (p *pair) unsure() bool {
	return !p.proven() && p.owner.e.handling.now.Sub(p.dates.born) < provenLimit
}

// softDue is the soft end of the pair's time. One that is for a single resource is not rekeyed if it was never used: a peer may
// delete those of resources that are idle (RFC 9611, Section 3). The dataplane is asked whether it was; should it not answer, it was.
func (p *pair) softDue() {
	if p.judged = !p.judged && !p.chain.isMain() && p.state == pairLive; !p.judged {
		p.softEnd()
		return
	}
	p.owner.e.after(&p.dates.soft, temporaryPause)
	p.owner.e.emit(NeedTraffic{ID: p.sa.ID})
}

// judge is the dataplane's answer.
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
		p.owner.e.after(&p.dates.soft, temporaryPause)
		return
	}
	p.rekeying = newChildExchange(p.policy, p)
	if p.chain.isMain() {
		p.policy.busy = true
	}
	p.owner.enqueue(p.rekeying)
}

// hardEnd ends the pair whether or not it was rekeyed: "When the lifetime of a Security Association expires, the Security Association MUST NOT be used."
func (p *pair) hardEnd() {
	p.delete(endExpired, "its lifetime is over")
}

// A pair that the peer may not have yet is not deleted for so long, and looked at so often.
const (
	provenLimit = 10 * time.Second
	deletePause = 500 * time.Millisecond
)

// delete asks the peer to delete the pair, which goes when the peer has answered.
func (p *pair) delete(cause endCause, why string) {
	if p.owner == nil || p.state == pairDeleting || p.owner.state.ending() {
		return
	}
	s := p.owner
	if p.unsure() {
		// The peer would know nothing of it, and install it when our answer arrives.
		p.dates.use.fire = func() { p.delete(cause, why) }
		s.e.after(&p.dates.use, deletePause)
		return
	}
	p.moveTo(pairDeleting)
	s.e.timers.stop(&p.dates.use)
	s.e.timers.stop(&p.dates.soft)
	s.e.timers.stop(&p.dates.hard)
	p.answerEnd(why)
	switch successor := p.chain.best(); {
	case p.outbound != outActive:
	case successor != nil && successor.sa.ID > p.sa.ID:
		p.giveWay(s.e, successor)
	case successor == nil && p.policy.sendsBeside(p): // another chain's pair carries what this one did
		p.quiet(s.e)
	}
	s.enqueue(&informational{kind: askDelete, pairs: []*pair{p}, cause: cause, why: why})
}
