package ike

import (
	"slices"
	"time"

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
		if s.state == saConnecting && s.succ.inPlaceOf() == nil && s.succ.own == nil {
			s.close("the peer connected first")
		}
	}
}

// A settlement is what is done about one of two IKE SAs with the same peer, where the other one
// wins.
type settlement struct {
	loser, winner *ikeSA
	replaced      bool                  // the winner was made in place of the loser, which must go
	why           string                // the loser goes
	asked         map[*child.Policy]int // how many rounds of migrate asked for one's first Child SA
	waits         int                   // rounds that are left to wait for an exchange on the loser
	busy          bool                  // something could not be made for the moment in this round
	again         timer.Timer           // of the round after that
}

// maxMigrations bounds the rounds of migrate that ask for the same: the peer may refuse on the
// winner what it accepted on the loser. It also bounds those that only wait.
const maxMigrations = 4

// insteadOf reports whether an IKE SA stays rather than the other one, other than by the rule: it
// was made in the other's place, or whoever began it knew the other one. Whether they can be kept
// does not count, since one side alone may know: by that, each side would delete another one. The
// one that stays has a new one take its place then (replaceDying).
func (s *ikeSA) insteadOf(o *ikeSA) bool {
	if s.succ.inPlaceOf() == o || o.succ.inPlaceOf() == s {
		return s.succ.inPlaceOf() == o
	}
	return s.beganLately(o)
}

// beganLately reports whether the IKE SA was begun when the other one stood, less than rekeyedLife
// ago: whoever began it knew the other one, and deletes it. The peer may see it otherwise, if the
// last message of the other one came late, so the rule decides if both are there after that time.
// One that was made in place of a third counts as that when the third is being deleted, which tells
// the peer: it was begun for the sake of that alone. Before that it must not give way to another
// one, or the third would have one more made.
func (s *ikeSA) beganLately(o *ikeSA) bool {
	return s.life.line.begun.After(o.life.since) && s.e.handling.now.Sub(s.life.line.since) < rekeyedLife
}

// leaveLine is called when the peer deletes an IKE SA. If it has made another one just before, that
// was in place of this one, and goes on with its line.
func (s *ikeSA) leaveLine() {
	var next *ikeSA
	for _, o := range s.party.sas {
		if o != s && o.usable() && !o.initiator && o.sameIdentity(s) && o.beganLately(s) && (next == nil || o.life.since.After(next.life.since)) {
			next = o
		}
	}
	if next != nil {
		next.life.line = s.life.line
	}
}

// outdoes reports whether an IKE SA stays rather than the other one.
func (s *ikeSA) outdoes(o *ikeSA) bool {
	return !o.insteadOf(s) && (s.insteadOf(o) || compareRekeys(s.keys.nonces, o.keys.nonces) == keepOurs)
}

// outdone reports whether a third IKE SA stays rather than this one, which therefore takes no Child
// SAs over: they would be redundant at once. One that stays beside others takes them.
func (s *ikeSA) outdone() bool {
	return s.succ.fate != fateBeside && slices.ContainsFunc(s.party.sas, func(o *ikeSA) bool {
		return o != s && o.usable() && o.sameIdentity(s) && (o.initiator || s.initiator) && !s.outdoes(o)
	})
}

// settle decides between two IKE SAs with the same peer. The creator of the loser acts, or whoever
// replaces it.
func (p *party) settle(a, b *ikeSA) {
	d := &settlement{loser: a, winner: b, why: "redundant: the peer connected at the same time", asked: map[*child.Policy]int{}, waits: maxMigrations}
	d.again.Fire = d.migrated
	if a.outdoes(b) {
		d.loser, d.winner = b, a
	}
	if d.winner.succ.fate == fateSettled { // already decided otherwise, before one was rekeyed
		return
	}
	d.loser.children.MakeRedundant(&d.winner.children.Bundle)
	if d.replaced = d.winner.succ.inPlaceOf() == d.loser; d.replaced {
		d.why = "replaced: " + d.loser.succ.why
	}
	if d.loser.succ.fate == fateSettled || !d.replaced && (d.winner.outdone() || !d.isOurs()) {
		return
	}
	d.loser.succ.fate, d.loser.succ.settling = fateSettled, d
	d.migrate()
}

// reopen has it decided once more between the IKE SAs there are, unless that was done already.
func (d *settlement) reopen() {
	if c := &d.loser.succ; c.settling == d {
		c.fate, c.settling = fateOpen, nil
		d.loser.e.touch(d.loser.party)
	}
}

// reopenSettlements is called when the IKE SA is about to end: what was to move to it need not wait
// for its last exchange.
func (s *ikeSA) reopenSettlements() {
	for _, o := range s.party.sas {
		if d := o.succ.settling; d != nil && d.winner.succ.latest() == s {
			d.reopen()
		}
	}
}

// isOurs reports whether we delete the loser, which the winner was not made to replace: its creator
// does. One that stayed since the winner lacked something goes when it lacks nothing any more. If
// the peer may be about to delete it, it is asked again later.
func (d *settlement) isOurs() bool {
	if d.winner.beganLately(d.loser) && !(d.loser.initiator && d.winner.initiator) {
		p := d.loser.party
		p.e.timers.Set(&p.settling, d.winner.life.line.since.Add(rekeyedLife))
		return false
	}
	if d.loser.succ.fate == fateBeside && d.winner.children.Lacks(&d.loser.children.Bundle) {
		return false
	}
	return d.loser.initiator
}

// migrate makes on the winner the Child SAs that only the loser has, those for parts of a policy
// once, and then deletes the loser. Exchanges under way on the loser may still add Child SAs there,
// so it checks again before the deletion.
func (d *settlement) migrate() {
	for _, q := range d.loser.children.Pairs() {
		x := newChildExchange(q.Policy(), nil)
		x.moves = d
		switch {
		case d.mayAskFor(q):
			d.asked[q.Policy()]++
		case d.mayAskLike(q):
			x.like = q
			q.Copied()
		default:
			continue
		}
		d.winner.enqueue(x)
	}
	d.winner.enqueue(&informational{then: d.migrated, otherwise: d.reopen})
}

// mayAskFor reports whether the winner may be asked for the first Child SA of a pair's policy.
func (d *settlement) mayAskFor(q *child.Pair) bool {
	pol := q.Policy()
	return q == d.loser.children.Of(pol) && d.winner.children.Of(pol) == nil && d.asked[pol] < maxMigrations && !d.loser.party.waitsForOwn(pol)
}

// mayAskLike reports whether the winner may be asked for a Child SA that has what a pair has.
func (d *settlement) mayAskLike(q *child.Pair) bool {
	return q.Chain().Resource() == 0 && d.winner.children.Of(q.Policy()) != nil && d.winner.children.Wants(q)
}

// mayAsk reports whether there is something that the winner lacks and may be asked for.
func (d *settlement) mayAsk() bool {
	return slices.ContainsFunc(d.loser.children.Pairs(), func(q *child.Pair) bool { return d.mayAskFor(q) || d.mayAskLike(q) })
}

// migrated is called when a round of migrate is over, and both sides have what came up on the
// winner.
func (d *settlement) migrated() {
	loser := d.loser
	if loser.succ.settling != d {
		return
	}
	d.winner = d.winner.succ.latest()
	if !d.winner.usable() || !loser.usable() || !d.replaced && d.winner.outdone() { // rekeyed, ended or about to: start over
		d.reopen()
		return
	}
	d.winner.children.TakeOver(&loser.children.Bundle, loser.live.Doubted() || loser.live.ignored())
	lacks := d.winner.children.Lacks(&loser.children.Bundle)
	switch {
	case d.busy:
		d.busy = false
		loser.e.after(&d.again, timer.TemporaryWait(loser.e.cfg.Rand))
	case lacks && d.winner.auth.bare && d.winner.succ.fruitless():
		loser.e.after(&d.again, ownCheck)
	case lacks && d.mayAsk():
		d.migrate()
	case lacks && d.awaitsOwn():
		loser.e.after(&d.again, ownCheck)
	case loser.work.Busy() && loser.succ.outlook != outlookSilent && d.waits > 0:
		d.waits--
		d.migrate()
	case lacks && !d.replaced:
		d.stayBeside()
	default:
		if d.replaced {
			d.winner.life.line = loser.life.line
		}
		loser.closeAs(child.EndReplaced, d.why)
	}
}

// ownCheck is how often it is looked whether IKE SAs are made that the loser's children wait for:
// one for each of them, or one in place of a winner that carries nothing.
const ownCheck = time.Second

// awaitsOwn reports whether a child of the loser gets an IKE SA of its own, as the peer refuses it
// on the winner. The loser stays until that is made, or its making has failed.
func (d *settlement) awaitsOwn() bool {
	return slices.ContainsFunc(d.loser.children.Pairs(), func(q *child.Pair) bool {
		return q.State() == child.Live && d.loser.party.waitsForOwn(q.Policy())
	})
}

// later records that a policy's Child SA cannot be made on the winner for the moment: the peer says
// so, or there is no SPI for it. It is asked for again after a pause.
func (d *settlement) later(pol *child.Policy) {
	d.busy = true
	d.asked[pol]--
}

// stayBeside keeps the loser, whose Child SAs the peer refuses on the winner: a peer may accept
// them in IKE_AUTH only. A winner that carries nothing goes instead.
func (d *settlement) stayBeside() {
	d.loser.succ.fate, d.winner.succ.fate = fateBeside, fateBeside
	d.loser.succ.settling = nil
	if len(d.winner.children.Pairs()) == 0 {
		d.winner.closeAs(child.EndReplaced, "redundant: the peer connected at the same time, and refuses the Child SAs of the other IKE SA on this one")
	}
	d.loser.e.touch(d.loser.party)
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
// Where both sides have connected, without Child SAs, both wait, and not for the same time.
func (p *party) delayOwnChildren() {
	pause := timer.Longer(timer.ReconnectFirst, p.e.cfg.Rand)
	for _, pol := range p.policies {
		pol.Defer(pause)
	}
}
