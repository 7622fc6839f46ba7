package ike

import (
	"slices"

	"culvert/ike/child"
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
			if a.usable() && b.usable() && a.sameIdentity(b) && (a.initiator || b.initiator) {
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
		if s.state == saConnecting && s.succ.inPlaceOf() == nil {
			s.abandonWork("the peer connected first")
			s.remove()
		}
	}
}

// settle decides between two IKE SAs: one that was made in place of the other one wins. The creator
// of the loser acts, or whoever replaces it.
func (p *party) settle(a, b *ikeSA) {
	loser, winner, why := a, b, "redundant: the peer connected at the same time"
	switch {
	case b.succ.inPlaceOf() == a:
	case a.succ.inPlaceOf() == b, compareRekeys(a.keys.nonces, b.keys.nonces) == keepOurs:
		loser, winner = b, a
	}
	if winner.succ.fate == fateSettled { // already decided otherwise, before one was rekeyed
		return
	}
	loser.children.MakeRedundant(&winner.children.Bundle)
	replaced := winner.succ.inPlaceOf() == loser
	if replaced {
		why = "replaced: " + loser.succ.why
	}
	if !loser.initiator && !replaced || loser.succ.fate == fateSettled {
		return
	}
	loser.succ.fate = fateSettled
	p.migrate(loser, winner, why, maxMigrations)
}

// maxMigrations bounds the rounds of migrate: the peer may refuse on the winner what it accepted on
// the loser.
const maxMigrations = 4

// migrate makes on the winner the Child SAs that only the loser has, and then deletes the loser.
// Exchanges under way on the loser may still add Child SAs there, so it checks again before the
// deletion.
func (p *party) migrate(loser, winner *ikeSA, why string, tries int) {
	for _, q := range loser.children.Pairs() {
		if pol := q.Policy(); q == loser.children.Of(pol) && winner.children.Of(pol) == nil {
			x := newChildExchange(pol, nil)
			x.onto = winner
			winner.enqueue(x)
		}
	}
	winner.enqueue(&informational{
		then: func() {
			winner = winner.succ.latest()
			if !winner.usable() || !loser.usable() { // one was rekeyed or ended: start over
				loser.succ.fate = fateOpen
				p.e.touch(p)
				return
			}
			winner.children.TakeOver(&loser.children.Bundle)
			if tries > 0 && (loser.work.Busy() && loser.succ.outlook != outlookSilent || winner.children.Lacks(&loser.children.Bundle)) {
				p.migrate(loser, winner, why, tries-1)
				return
			}
			loser.closeAs(child.EndReplaced, why)
		},
		otherwise: func() { loser.succ.fate = fateOpen },
	})
}

// latest returns the last of the successors that the IKE SA was rekeyed to.
func (c *succession) latest() *ikeSA {
	s := c.sa
	for s.succ.successor != nil {
		s = s.succ.successor
	}
	return s
}

// delayOwnChildren lets a peer that has just connected make its Child SAs before we ask for ours.
func (p *party) delayOwnChildren() {
	for _, pol := range p.policies {
		pol.Defer(timer.ReconnectFirst)
	}
}
