package child

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
)

// A Pair is one Child SA: an inbound and an outbound ESP SA (RFC 7296, Section 1.4.1), from its
// installation until the dataplane has removed it.
//
// A rekeying leaves two of them for a while. The side that asked for the new pair sends on it at
// once. The other side keeps sending on the old pair until the new one carries traffic or the old
// one is deleted (Section 2.8). After the deletion the inbound half stays for a few seconds, for
// packets that are still in flight.
type Pair struct {
	// SA is what was installed, without the keys. The path may be changed; the rest is for
	// reading.
	SA ipsec.ChildSA
	// Origin is what Agreement gave.
	Origin   Origin
	carrier  Carrier // nil once it is deleted
	policy   *Policy
	chain    *Chain
	next     *Pair // its replacement
	dates    pairDates
	seen     Seen
	refs     []uint64 // Rekey commands to answer
	state    State
	outbound outState
	creator  bool // we asked for it
	grouped  bool // there may be others beside it for single resources (RFC 9611)
	rekeying bool // our negotiation that replaces it is queued or under way
	judged   bool // the dataplane was asked whether the pair has carried traffic
}

// outState is what the dataplane was told to do with a pair's outbound SA.
type outState uint8

const (
	outInactive   outState = iota // do not send on it
	outActive                     // send on it
	outSuperseded                 // send on it, and since then on another one of the chain
)

type pairDates struct {
	born, rekeyAt time.Time
	soft, hard    timer.Timer // hard also ends the lingering of a deleted pair
	use           timer.Timer // when to start sending on a pair that the peer asked for
	refusals      int         // TEMPORARY_FAILURE responses to its rekeying, in a row
}

// Seen holds the times of the last packets, as the dataplane last reported them.
type Seen struct{ In, Out time.Time }

// lingerPair is how long the inbound half of a deleted pair still accepts packets.
const lingerPair = 5 * time.Second

// Carrier returns the carrier of the pair, or nil once it is deleted.
func (p *Pair) Carrier() Carrier { return p.carrier }

// Policy returns the policy that the pair is for.
func (p *Pair) Policy() *Policy { return p.policy }

// Chain returns the chain that the pair belongs to.
func (p *Pair) Chain() *Chain { return p.chain }

// State returns the state of the pair.
func (p *Pair) State() State { return p.state }

// Next returns the pair that replaces this one, or nil.
func (p *Pair) Next() *Pair { return p.next }

// Creator reports whether we asked for the pair.
func (p *Pair) Creator() bool { return p.creator }

// Grouped reports whether there may be others beside it for single resources (RFC 9611).
func (p *Pair) Grouped() bool { return p.grouped }

// Rekeying reports whether our negotiation that replaces the pair is queued or under way.
func (p *Pair) Rekeying() bool { return p.rekeying }

// RekeyAt returns when the pair will be rekeyed; zero: not planned.
func (p *Pair) RekeyAt() time.Time { return p.dates.rekeyAt }

// Seen returns when packets were last seen on the pair.
func (p *Pair) Seen() Seen { return p.seen }

// Saw records when packets were last seen on the pair. The first one received shows that the peer
// can receive on it: "The responder can be assured that the initiator is prepared to receive
// messages on an SA if [...] it has received a cryptographically valid message on the other half of
// the SA pair" (RFC 7296, Section 2.8).
func (p *Pair) Saw(t Seen) {
	first := p.seen.In.IsZero() && !t.In.IsZero()
	p.seen = t
	if first && p.state == Live && p.chain.Best() == p {
		p.activate()
	}
	if p.judged {
		p.judge()
	}
}

// table returns the table that the pair is in.
func (p *Pair) table() *Table { return p.policy.table }

// activate makes the chain send on the pair.
func (p *Pair) activate() {
	if p.outbound == outActive || p.carrier == nil {
		return
	}
	for _, q := range p.chain.pairs {
		if q.outbound == outActive {
			q.outbound = outSuperseded
		}
	}
	p.outbound = outActive
	p.table().host.ActivateOutbound(p.SA.ID)
}

// Lost ends the pair on our side, if it has not ended. If the policy has another pair, that one
// takes over and this one lingers; otherwise this one is removed at once.
func (p *Pair) Lost(cause Cause, why string) {
	if p.carrier == nil {
		return
	}
	pol, l := p.policy, p.chain
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
	if successor := l.Best(); successor != nil && p.outbound == outActive {
		p.giveWay(successor)
	}
	if len(l.pairs) == 0 {
		l.ended(why)
	}
	if cause == EndDead || cause == EndMoved || cause == EndRestarted {
		p.gone()
		return
	}
	p.linger()
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

// giveWay moves sending to the successor, which may be older. The successor is activated first, so
// that there is always an SA to send on.
func (p *Pair) giveWay(successor *Pair) {
	successor.Revive()
	successor.activate()
	p.quiet()
}

// quiet stops sending on the pair.
func (p *Pair) quiet() {
	if p.outbound != outInactive {
		p.outbound = outInactive
		p.table().host.DeactivateOutbound(p.SA.ID)
	}
}

// Replaced records that another pair does, or will do, the work of this one. One side will delete
// this one.
func (p *Pair) Replaced(next *Pair) {
	p.next = next
	if p.state == Live {
		p.moveTo(Replaced)
	}
	p.dates.rekeyAt = time.Time{}
	p.dates.soft.Fire = p.replacedEnd
	p.table().after(&p.dates.soft, replacedLife)
}

// replacedLife is how long a replaced pair waits for the side that should delete it.
const replacedLife = 90 * time.Second

// replacedEnd deletes a replaced pair that the other side has not deleted. If there is no live
// successor it revives the pair instead.
func (p *Pair) replacedEnd() {
	if p.carrier == nil || p.state != Replaced {
		return
	}
	if successor := p.chain.Best(); successor == p || successor.state != Live {
		p.Revive()
		return
	}
	p.Delete(EndReplaced, "replaced, but the peer did not delete it")
}

// Revive makes a replaced pair live again, because its successor ended first.
func (p *Pair) Revive() {
	if p.state != Replaced {
		return
	}
	p.moveTo(Live)
	p.next = nil
	p.Origin.Revived()
	p.dates.soft.Fire = p.softDue
	p.table().after(&p.dates.soft, timer.TemporaryPause)
}

// detach removes the pair from its carrier and its chain.
func (p *Pair) detach() {
	t := p.table()
	p.carrier.Children().remove(p)
	p.chain.remove(p)
	p.policy.compare()
	t.stop(&p.dates.soft)
	t.stop(&p.dates.hard)
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

func (p *Pair) String() string {
	return fmt.Sprintf("Child SA %08x in, %08x out", p.SA.SPIIn, p.SA.SPIOut)
}

// UseNow starts sending on a pair that we asked for. "The initiator MAY begin sending on an SA as
// soon as it processes the response" (RFC 7296, Section 2.8).
func (p *Pair) UseNow() {
	p.SettleRedundant()
	if p.state == Live {
		p.activate()
	}
}

// useDelay is how long a new pair that the peer asked for is not sent on, unless it is known sooner
// that the peer has it. "the responder MAY defer sending messages on a new SA until either it
// receives one or a timeout has occurred" (RFC 7296, Section 2.8). The dataplane keeps the first
// packets meanwhile.
const useDelay = 800 * time.Millisecond

// UseSoon starts sending on a pair that the peer asked for as soon as the peer has it, at the
// latest after useDelay.
func (p *Pair) UseSoon() {
	p.SettleRedundant()
	p.table().after(&p.dates.use, useDelay)
}

// useAlone starts sending on the pair if its chain sends on no other.
func (p *Pair) useAlone() {
	if p.state != Live || p.chain.Best() != p {
		return
	}
	for _, q := range p.chain.pairs {
		if q.outbound == outActive {
			return
		}
	}
	if !p.chain.IsMain() && p.unsure() { // the main chain can be sent on meanwhile
		p.table().after(&p.dates.use, deletePause)
		return
	}
	p.activate()
}

// proven reports whether the peer certainly has the pair when it handles a request about it: we
// asked for it, or packets came on it, or the carrier knows.
func (p *Pair) proven() bool {
	return p.creator || !p.seen.In.IsZero() || p.Origin.Proven()
}

// SettleRedundant decides between a new pair and other pairs of its chain that are not rekeyed by
// it, which happens when both sides ask at the same time. Of two pairs that the sides asked for,
// the one that does not outlast the other is closed by its creator, but only once the peer
// certainly has the other pair. Of two pairs that we asked for, the older one is closed.
func (p *Pair) SettleRedundant() {
	for _, q := range slices.Clone(p.chain.pairs) {
		if q == p || q.state != Live || p.state != Live || q.carrier != p.carrier || q.Origin.Crossed() || !p.creator && !q.creator {
			continue
		}
		loser, winner := q, p
		if q.creator != p.creator && !p.Origin.Outlasts(q.Origin) {
			loser, winner = p, q
		}
		loser.Replaced(winner)
		if loser.creator {
			loser.dates.soft.Fire = func() { loser.Delete(EndReplaced, "redundant") }
			p.table().after(&loser.dates.soft, lingerPair)
		}
	}
}

// Replaces records that the pair was made in place of another, by a rekeying of either side.
func (p *Pair) Replaces(old *Pair) {
	p.policy.rekeys++
	p.Report("child-rekeyed", fmt.Sprintf("%s replaces %s", p, old))
}

// Supersedes ends the work of a pair that we have rekeyed: this one is sent on, and the old one is
// deleted. Also, it replaces those that the peer made in place of the old one.
func (p *Pair) Supersedes(old *Pair, also ...*Pair) {
	p.activate()
	old.Replaced(p)
	for _, q := range also {
		q.Replaced(p)
	}
	old.Delete(EndReplaced, "rekeyed")
	p.SettleRedundant()
}

// Report gives notice of an event of the pair.
func (p *Pair) Report(event, text string) {
	p.policy.owner.Report(Report{Policy: p.policy, Pair: p, Event: event, Text: text})
}

// CameUp gives notice of a pair that does not replace another.
func (p *Pair) CameUp() {
	p.Report("child-up", fmt.Sprintf("%s: %s", p, grantOf(p)))
	p.tellNarrow()
}
