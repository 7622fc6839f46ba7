package child

import (
	"fmt"
	"slices"
	"time"
)

// lingerPair is how long the inbound half of a deleted pair still accepts packets.
const lingerPair = 5 * time.Second

// Lost ends the pair on our side, if it has not ended. If the policy has another pair, that one
// takes over and this one lingers; otherwise this one is removed at once.
func (p *Pair) Lost(cause Cause, why string) {
	if p.carrier == nil {
		return
	}
	pol, l, on := p.policy, p.chain, p.carrier
	p.answerEnd(why)
	p.detach()
	if pol.Best() == nil {
		told := p.state == Deleting && len(pol.Pairs()) > 0 // when the last one in use, or the last of all, was deleted
		pol.silence()
		p.gone()
		if !told {
			pol.lost(cause, why)
		}
		return
	}
	if successor := p.successor(l); successor != nil && p.outbound == outActive {
		p.giveWay(successor)
	}
	if q := l.Best(); q != nil && q.state == Replaced && q.next == p && q.carrier != on && !q.carrier.Ending() {
		q.Revive() // the other carrier stays after all: the peer may rekey the pair there
	}
	if len(l.pairs) == 0 {
		l.ended(why)
	}
	if cause == EndPeer {
		pol.deferRest()
	}
	if cause == EndDead || cause == EndMoved || cause == EndRestarted {
		p.gone()
		return
	}
	p.linger()
}

// successor returns the pair of the chain to send on after this one, or nil. A peer that deletes a
// pair has its replacement, and what it rekeyed; the newest pair it may not have yet.
func (p *Pair) successor(l *Chain) *Pair {
	best, next := l.Best(), p.next
	if best == nil || best.creator || !best.seen.In.IsZero() {
		return best
	}
	if next != nil && next.state.Usable() && next.chain == l {
		return next
	}
	return best.known()
}

// known returns the pair to send on in place of p where the peer, which asked for it, may not have
// it yet: the one that it rekeys by it.
func (p *Pair) known() *Pair {
	if p.creator || !p.seen.In.IsZero() {
		return p
	}
	for _, q := range p.chain.pairs {
		if q.next == p && q.state.Usable() && q.carrier == p.carrier {
			return q
		}
	}
	return p
}

// answerEnd answers the Rekey commands of a pair that ends. The end of a pair for a single resource
// is not an error, because the main chain takes over its traffic.
func (p *Pair) answerEnd(why string) {
	err := fmt.Errorf("the Child SA ended: %s", why)
	if !p.chain.IsMain() && p.policy.main.Best() != nil {
		err = nil
	}
	p.Answer(err)
}

// Answer answers the Rekey commands that wait for the pair.
func (p *Pair) Answer(err error) {
	refs := p.refs
	p.refs = nil
	for _, ref := range refs {
		p.table().answer(ref, err)
	}
}

// detach removes the pair from its carrier and its chain. The caller says when it is gone.
func (p *Pair) detach() {
	t := p.table()
	p.carrier.Children().remove(p)
	p.chain.remove(p)
	p.policy.compare()
	t.stop(&p.dates.soft)
	t.stop(&p.dates.use)
	p.policy.owner.Touch()
	p.carrier = nil
}

// maxLingering bounds the lingering pairs of a policy, per chain, because a peer could make and
// delete pairs without end.
const maxLingering = 16

// linger keeps the pair for late inbound packets. Nothing may be sent on an SA that the peer has
// deleted.
func (p *Pair) linger() {
	if len(p.policy.lingering) >= maxLingering*(1+len(p.policy.more)) {
		p.policy.lingering[0].gone()
	}
	p.moveTo(Lingering)
	p.quiet()
	p.policy.lingering = append(p.policy.lingering, p)
	p.dates.hard.Fire = p.gone
	p.table().after(&p.dates.hard, lingerPair)
}

// silence removes the lingering pairs of a policy that has no other pair left.
func (pol *Policy) silence() {
	for _, q := range slices.Clone(pol.lingering) {
		q.gone()
	}
}

// gone removes the pair from the dataplane.
func (p *Pair) gone() {
	if p.state == Gone {
		return
	}
	p.moveTo(Gone)
	p.outbound = outInactive
	p.policy.lingering = slices.DeleteFunc(p.policy.lingering, func(q *Pair) bool { return q == p })
	t := p.table()
	t.stop(&p.dates.hard)
	delete(t.pairs, p.SA.ID)
	t.host.RemoveSA(p.SA.ID)
}
