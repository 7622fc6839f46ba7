package ike

import (
	"slices"

	"culvert/ike/timer"
)

// When both sides connect at once, two IKE SAs come up, each with its Child SAs. RFC 7296 does not
// resolve this; we keep one, by a rule that both sides apply alike, which is that of Section 2.8.2
// for simultaneous rekeying: the IKE SA with the lowest of the four nonces is deleted by its
// creator.
//
// The creator of the loser was the responder of the winner, and cannot know whether the peer has
// received its IKE_AUTH response. So it first sends a liveness check on the winner; the response
// shows that the winner's Child SAs work on both sides. Child SAs that the winner lacks are made on
// it before the loser is deleted.
//
// Before IKE_AUTH was sent, our attempt can simply be dropped when the peer's succeeds: both sides
// cannot be that early.

// settleDuplicates looks for IKE SAs with the same peer of which we made at least one. After
// crossing rekeyings we may have made both. Two that the peer made are its own concern, such as a
// reauthentication.
func (p *party) settleDuplicates() {
	p.dropEarlyTries()
	if !slices.ContainsFunc(p.sas, func(s *ikeSA) bool { return s.initiator && s.usable() }) {
		return // the peer made them all
	}
	for i, a := range p.sas {
		for _, b := range p.sas[i+1:] {
			if a.usable() && b.usable() && a.remoteID == b.remoteID && (a.initiator || b.initiator) {
				p.settle(a, b)
			}
		}
	}
}

// dropEarlyTries ends our attempts that have not reached IKE_AUTH when the peer has connected.
func (p *party) dropEarlyTries() {
	if p.main() == nil {
		return
	}
	for _, s := range slices.Clone(p.sas) {
		if s.state == saConnecting {
			s.abandonWork("the peer connected first")
			s.remove()
		}
	}
}

// settle decides between two IKE SAs. The creator of the loser acts.
func (p *party) settle(a, b *ikeSA) {
	loser, winner := a, b
	if compareRekeys(a.keys.nonces, b.keys.nonces) == keepOurs {
		loser, winner = b, a
	}
	if winner.succ.settling { // already decided otherwise, before one was rekeyed
		return
	}
	loser.makeRedundant(winner)
	if !loser.initiator || loser.succ.settling {
		return
	}
	loser.succ.settling = true
	p.migrate(loser, winner, maxMigrations)
}

// maxMigrations bounds the rounds of migrate: the peer may refuse on the winner what it accepted on
// the loser.
const maxMigrations = 4

// migrate makes on the winner the Child SAs that only the loser has, and then deletes the loser.
// Exchanges under way on the loser may still add Child SAs there, so it checks again before the
// deletion.
func (p *party) migrate(loser, winner *ikeSA, tries int) {
	for _, q := range loser.pairs {
		if q == loser.pairOf(q.policy) && winner.pairOf(q.policy) == nil {
			x := newChildExchange(q.policy, nil)
			x.onto = winner
			winner.enqueue(x)
		}
	}
	winner.enqueue(&informational{
		then: func() {
			winner = winner.latest()
			if !winner.usable() || !loser.usable() { // one was rekeyed or ended: start over
				loser.succ.settling = false
				p.e.touch(p)
				return
			}
			winner.takeOver(loser)
			if tries > 0 && (loser.work.Busy() || winner.lacks(loser)) {
				p.migrate(loser, winner, tries-1)
				return
			}
			loser.closeAs(endReplaced, "redundant: the peer connected at the same time")
		},
		otherwise: func() { loser.succ.settling = false },
	})
}

// latest returns the last of the successors that the IKE SA was rekeyed to.
func (s *ikeSA) latest() *ikeSA {
	for s.succ.successor != nil {
		s = s.succ.successor
	}
	return s
}

// lacks reports whether a policy has a live pair on the loser only.
func (s *ikeSA) lacks(loser *ikeSA) bool {
	return slices.ContainsFunc(loser.pairs, func(q *pair) bool { return q.state == pairLive && s.pairOf(q.policy) == nil })
}

// makeRedundant marks the pairs of the loser as replaced by those of the winner, so that nothing
// switches back to them. Those for single resources end with the loser; their workers send on the
// winner's pairs until they request others.
func (s *ikeSA) makeRedundant(winner *ikeSA) {
	for _, q := range s.pairs {
		if successor := winner.pairOf(q.policy); successor != nil && q.state == pairLive && q.chain.isMain() {
			q.replaced(successor)
		}
	}
}

// takeOver moves sending to the pairs of the winner.
func (s *ikeSA) takeOver(loser *ikeSA) {
	loser.makeRedundant(s)
	for _, q := range slices.Clone(loser.pairs) {
		if successor := s.pairOf(q.policy); successor != nil && q.outbound == outActive && q.chain.isMain() {
			q.giveWay(s.e, successor)
		}
	}
}

// pairOf returns the IKE SA's live pair of a policy, preferably of the main chain, or nil.
func (s *ikeSA) pairOf(pol *policy) *pair {
	var other *pair
	for _, p := range slices.Backward(s.pairs) {
		if p.policy != pol || p.state != pairLive {
			continue
		}
		if p.chain.isMain() {
			return p
		}
		other = p
	}
	return other
}

// delayOwnChildren lets a peer that has just connected make its Child SAs before we ask for ours.
func (s *ikeSA) delayOwnChildren() {
	e := s.e
	for _, pol := range s.party.policies {
		if pol.want && !pol.up() && !pol.busy && pol.retry.at.Before(e.handling.now.Add(timer.ReconnectFirst)) {
			pol.retry.at = e.handling.now.Add(timer.ReconnectFirst)
			e.timers.Set(&pol.retry.timer, pol.retry.at)
		}
	}
}
