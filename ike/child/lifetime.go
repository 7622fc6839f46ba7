package child

import (
	"io"
	"time"

	"culvert/ike/timer"
)

// Lifetimes of a Child SA pair: when it is rekeyed and when it expires.

// schedule sets the pair's timers. The creator rekeys clearly before the other side would, so that
// with equal lifetimes the two rekeyings do not collide each time.
func (p *Pair) schedule() {
	t, life := p.table(), p.policy.Settings.Lifetime
	if life <= 0 {
		return
	}
	soft := RekeyMargin(life, p.creator, t.host.Rand())
	p.dates.rekeyAt = t.host.Now().Add(soft)
	t.after(&p.dates.soft, soft)
	t.after(&p.dates.hard, life+life/10)
}

// RekeyMargin returns the age at which an SA of this lifetime is rekeyed: by its creator after 90
// to 97% of its life, by the other side after 98 to 100%. It is random, because "the timing of
// rekeying requests SHOULD be jittered" (RFC 7296, Section 2.8.1).
func RekeyMargin(life time.Duration, creator bool, rand io.Reader) time.Duration {
	if creator {
		return life - life*3/100 - timer.Fraction(life*7/100, rand)
	}
	return life - timer.Fraction(life*2/100, rand)
}

// renewal is how far the replacement of a pair is whose lifetime ends.
type renewal uint8

const (
	renewalNone       renewal = iota
	renewalInQuestion         // the dataplane was asked whether the pair has carried traffic
	renewalBegun              // our negotiation that replaces it is queued or under way
)

// unsure reports whether the peer may not have the pair yet, and it is worth waiting until it does.
func (p *Pair) unsure() bool {
	return !p.proven() && p.table().host.Now().Sub(p.dates.born) < provenLimit
}

// softDue is called at the soft end of the pair's lifetime. A dispensable pair is not rekeyed if it
// was never used, because a peer may delete idle ones (RFC 9611, Section 3). So the dataplane is
// asked first; if it does not answer, the pair counts as used.
func (p *Pair) softDue() {
	if p.renewal != renewalNone || !p.dispensable() || p.state != Live {
		p.Expiring()
		return
	}
	p.renewal = renewalInQuestion
	p.table().after(&p.dates.soft, timer.TemporaryPause)
	p.table().host.NeedTraffic(p.SA.ID)
}

// dispensable reports whether the pair need not be rekeyed if it was never used: it is for a single
// resource, or for a part of the policy that a packet of ours asked for.
func (p *Pair) dispensable() bool {
	return p.chain.resource > 0 || p.chain.IsPart() && p.creator && !p.policy.wantsAll()
}

// judge decides about a dispensable pair after the dataplane's answer.
func (p *Pair) judge() {
	if p.state != Live || !p.dispensable() || !p.seen.In.IsZero() || !p.seen.Out.IsZero() {
		p.Expiring()
		return
	}
	p.renewal = renewalNone
	p.Delete(EndReplaced, "it was not used")
}

// Expiring rekeys the pair, because a lifetime of it ends soon or a command asks for it.
func (p *Pair) Expiring() {
	if p.renewal == renewalBegun {
		return
	}
	p.renewal = renewalNone
	if p.carrier == nil || p.state != Live || !p.carrier.Established() {
		return
	}
	if !p.proven() {
		p.table().after(&p.dates.soft, timer.TemporaryPause)
		return
	}
	p.renewal = renewalBegun
	if p.chain.IsMain() {
		p.policy.busy = true
	}
	p.carrier.Rekey(p)
}

// RekeyEnded records that our negotiation that was to replace the pair has ended, whatever its
// outcome.
func (p *Pair) RekeyEnded() { p.renewal = renewalNone }

// Refused counts a temporary refusal of the pair's rekeying. It returns their number.
func (p *Pair) Refused() int {
	p.dates.refusals++
	return p.dates.refusals
}

// Presses reports whether the hard end of the pair's lifetime comes soon after another pause of a
// rekeying that is refused for now.
func (p *Pair) Presses() bool {
	return p.dates.hard.Presses(p.dates.rekeyAt, p.table().host.Now().Add(timer.MostTemporaryWait))
}

// RekeyIn plans the next try to rekey the pair after d.
func (p *Pair) RekeyIn(d time.Duration) { p.table().after(&p.dates.soft, d) }

// Hasten plans the next try to rekey the pair within d, if it is planned for later.
func (p *Pair) Hasten(d time.Duration) {
	at := p.table().host.Now().Add(d)
	if p.carrier == nil || p.state != Live || p.renewal == renewalBegun || !at.Before(p.dates.rekeyAt) {
		return
	}
	p.dates.rekeyAt = at
	p.RekeyIn(d)
}

// Expired deletes the pair, even if it could not be rekeyed: an expired SA must not be used (RFC
// 4301, Section 4.4.2.1).
func (p *Pair) Expired() {
	p.Delete(EndExpired, "its lifetime has expired")
}

// A pair that the peer may not have yet is not deleted until provenLimit after its creation. It is
// looked at again every deletePause.
const (
	provenLimit = 10 * time.Second
	deletePause = 500 * time.Millisecond
)

// Delete deletes the pair on both sides. It ends when the peer has answered.
func (p *Pair) Delete(cause Cause, why string) {
	if p.carrier == nil || p.state == Deleting || p.carrier.Ending() {
		return
	}
	t := p.table()
	if p.unsure() {
		// The peer would not know the pair yet, and would install it when our response arrives.
		p.dates.use.Fire = func() { p.Delete(cause, why) }
		t.after(&p.dates.use, deletePause)
		return
	}
	p.moveTo(Deleting)
	t.stop(&p.dates.use)
	t.stop(&p.dates.soft)
	t.stop(&p.dates.hard)
	p.answerEnd(why)
	switch successor := p.chain.Best(); {
	case p.outbound != outActive:
	case successor != nil && successor.SA.ID > p.SA.ID:
		p.giveWay(successor)
	case successor == nil && p.policy.sendsBeside(p): // a pair of another chain takes over its traffic
		p.quiet()
	}
	p.carrier.Delete(p, cause, why)
}
