package ike

import "slices"

// When both sides start at once, both IKE SAs come up, each with its Child SAs. RFC 7296 leaves it at that; we end with one, by a rule that both sides come to alike, and
// that is the one of Section 2.8.2 for simultaneous rekeying: the IKE SA with the lowest of the four nonces is deleted by its creator.
//
// The creator of the loser was the responder of the winner, and cannot know whether the peer has got its IKE_AUTH response. So it first asks on the winner
// whether the peer is there; by the answer it is, and the Child SAs of the winner are good on both sides. What the winner lacks is made on it before the loser goes.
//
// Before IKE_AUTH was sent a try of ours can simply be dropped when the peer's succeeds: not both sides can be so early.

// settleDuplicates looks for IKE SAs with the same peer of which we made at least one: by a rekeying that crossed, we may have become the maker of both. Two that the
// peer made are its own affair, such as a reauthentication.
func (p *peer) settleDuplicates() {
	p.dropEarlyTries()
	if !slices.ContainsFunc(p.sas, func(s *ikeSA) bool { return s.initiator && s.usable() }) {
		return // however many the peer has made
	}
	for i, a := range p.sas {
		for _, b := range p.sas[i+1:] {
			if a.usable() && b.usable() && a.remoteID == b.remoteID && (a.initiator || b.initiator) {
				p.settle(a, b)
			}
		}
	}
}

// dropEarlyTries ends our tries that have not come to IKE_AUTH, now that the peer has come to us.
func (p *peer) dropEarlyTries() {
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

// settle decides between two IKE SAs. The loser's maker acts.
func (p *peer) settle(a, b *ikeSA) {
	loser, winner := a, b
	if compareRekeys(a.keys.nonces, b.keys.nonces) == keepOurs {
		loser, winner = b, a
	}
	if winner.live.settling { // decided otherwise before one of them was rekeyed: so it stays
		return
	}
	loser.makeRedundant(winner)
	if !loser.initiator || loser.live.settling {
		return
	}
	loser.live.settling = true
	p.migrate(loser, winner, maxMigrations)
}

// maxMigrations bounds how often migrate looks again: the peer may refuse on the winner what it had accepted on the loser.
const maxMigrations = 4

// migrate makes on the winner what only the loser has, and then ends the loser. What was under way on the loser when it lost comes up there
// all the same; so it looks again before it ends.
func (p *peer) migrate(loser, winner *ikeSA, tries int) {
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
			if !winner.usable() || !loser.usable() { // one was rekeyed or ended meanwhile: look anew at what there is
				loser.live.settling = false
				p.e.touch(p)
				return
			}
			winner.takeOver(loser)
			if tries > 0 && (loser.work.current != nil || winner.lacks(loser)) {
				p.migrate(loser, winner, tries-1)
				return
			}
			loser.closeAs(endReplaced, "redundant, as the peer connected at the same time")
		},
		otherwise: func() { loser.live.settling = false },
	})
}

// latest is what has become of the IKE SA by rekeying.
func (s *ikeSA) latest() *ikeSA {
	for s.succ.successor != nil {
		s = s.succ.successor
	}
	return s
}

// lacks says whether a policy has a pair on the loser only.
func (s *ikeSA) lacks(loser *ikeSA) bool {
	return slices.ContainsFunc(loser.pairs, func(q *pair) bool { return q.state == pairLive && s.pairOf(q.policy) == nil })
}

// makeRedundant marks the pairs of the loser as replaced by those of the winner, so that nothing switches back to them. Those for single resources go with the loser, and
// their workers send on the winner's until they ask for others.
func (s *ikeSA) makeRedundant(winner *ikeSA) {
	for _, q := range s.pairs {
		if successor := winner.pairOf(q.policy); successor != nil && q.state == pairLive && q.chain.isMain() {
			q.replaced(successor)
		}
	}
}

// takeOver sends on the pairs of the winner.
func (s *ikeSA) takeOver(loser *ikeSA) {
	loser.makeRedundant(s)
	for _, q := range slices.Clone(loser.pairs) {
		if successor := s.pairOf(q.policy); successor != nil && q.outbound == outActive && q.chain.isMain() {
			q.giveWay(s.e, successor)
		}
	}
}

// pairOf is the IKE SA's live pair of a policy, of the main chain if it has one.
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

// delayOwnChildren leaves it to a peer that has just connected to make the Child SAs that it wants, before we ask for ours.
func (s *ikeSA) delayOwnChildren() {
	e := s.e
	for _, pol := range s.peer.policies {
		if pol.want && !pol.up() && !pol.busy && pol.retry.at.Before(e.handling.now.Add(reconnectFirst)) {
			pol.retry.at = e.handling.now.Add(reconnectFirst)
			e.timers.set(&pol.retry.timer, pol.retry.at)
		}
	}
}
