package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"culvert/esp"
	"culvert/ike/wire"
)

// pair is one Child SA: an inbound and an outbound ESP SA (RFC 7296, Section 1.4.1), from its installation until its last packets are in.
//
// A rekeying leaves two of them for a while. The side that asked for the new pair sends on it at once; the other one goes on sending on
// the old pair until the new one carries traffic or the old one is deleted (Section 2.8). When the old one is deleted on both sides its inbound half stays for a few
// seconds more, for packets that are still on their way.
type pair struct {
	sa       esp.ChildSA // as it was installed, less the keys
	owner    *ikeSA      // nil once it lingers
	policy   *policy
	state    pairState
	creator  bool // we asked for it
	proposal wire.Proposal
	nonces   noncePair // of the exchange that made it
	rekeying exchange  // our exchange that replaces it, queued or under way
	crossing *crossing // the peer's exchange that replaces it, which may cross ours
	next     *pair     // what replaced it
	dates    pairDates
	traffic  trafficSeen
	refs     []uint64 // Rekey commands that wait
	via      origin
	active   bool // it is the one its policy sends on, as far as we told the dataplane
}

type pairDates struct {
	born, rekeyAt time.Time
	soft, hard    timer // hard also ends the lingering
	use           timer // until a pair that the peer asked for is sent on
	refusals      int   // of its rekeying, in a row
}

// origin is where a pair that the peer asked for came up: its IKE SA, and the ID of the peer's next request there.
type origin struct {
	sa   *ikeSA
	next uint32
}

// trafficSeen is what the dataplane last told.
type trafficSeen struct{ in, out time.Time }

// lingerPair is how long the inbound half of a deleted pair still lets packets in.
const lingerPair = 5 * time.Second

// install makes the pair known to the dataplane, its inbound half live.
func (e *Engine) install(s *ikeSA, p *pair) {
	e.lastPair++
	p.sa.ID, p.owner, p.state = e.lastPair, s, pairLive
	p.dates.born = e.turn.now
	p.dates.soft.fire = p.softEnd
	p.dates.hard.fire = p.hardEnd
	p.dates.use.fire = func() { p.useAlone() }
	e.pairs[p.sa.ID] = p
	s.pairs = append(s.pairs, p)
	p.policy.pairs = append(p.policy.pairs, p)
	e.emit(InstallInbound{SA: p.sa})
	p.sa.KeyIn, p.sa.KeyOut = nil, nil
	p.schedule()
	e.touch(s.peer)
}

// schedule sets the pair's dates. The creator's rekeying comes clearly before the other side's, so that with equal lifetimes the two do not collide each time.
func (p *pair) schedule() {
	e, life := p.owner.e, p.policy.cfg.Lifetime
	if life <= 0 {
		return
	}
	soft := rekeyMargin(e, life, p.creator)
	p.dates.rekeyAt = e.turn.now.Add(soft)
	e.after(&p.dates.soft, soft)
	e.after(&p.dates.hard, life+life/10)
}

// rekeyMargin is when to rekey something of this lifetime: the side that made it in the last tenth but a little, the other one in that little.
func rekeyMargin(e *Engine, life time.Duration, creator bool) time.Duration {
	if creator {
		return life - life*3/100 - fraction(life*7/100, e.cfg.Rand)
	}
	return life - fraction(life*2/100, e.cfg.Rand)
}

// moveTo is the one setter of the state.
func (p *pair) moveTo(to pairState) {
	mustMove("a Child SA", p.state, to, pairMoves[p.state])
	p.state = to
	if p.owner != nil {
		p.owner.e.touch(p.owner.peer)
	}
}

// activate makes the policy send on the pair.
func (p *pair) activate() {
	if p.active || p.owner == nil {
		return
	}
	for _, q := range p.policy.pairs {
		q.active = false
	}
	p.active = true
	p.owner.e.emit(ActivateOutbound{ID: p.sa.ID})
}

// lost ends the pair on our side. If its policy has another pair that one takes over, and this one lingers; otherwise it goes at once.
func (p *pair) lost(cause endCause, why string) {
	e, pol := p.owner.e, p.policy
	e.answerRefs(&p.refs, fmt.Errorf("the Child SA ended: %s", why))
	p.detach()
	heir := pol.best()
	if heir == nil {
		pol.silence(e)
		p.gone(e)
		pol.lost(cause, why)
		return
	}
	if p.active {
		p.giveWay(e, heir)
	}
	if cause == endDead || cause == endRestarted {
		p.gone(e)
	}
	if p.state != pairGone {
		p.linger(e)
	}
}

// giveWay lets the heir send. An older heir can do so only when this one is no more: the dataplane keeps to the newest.
func (p *pair) giveWay(e *Engine, heir *pair) {
	if heir.sa.ID < p.sa.ID {
		p.gone(e)
	}
	heir.revive()
	heir.activate()
}

// replaced notes that another pair does, or will do, this one's work; one side is to delete it.
func (p *pair) replaced(next *pair) {
	p.next = next
	if p.state == pairLive {
		p.moveTo(pairReplaced)
	}
	p.dates.rekeyAt = time.Time{}
	p.dates.soft.fire = p.replacedEnd
	p.owner.e.after(&p.dates.soft, replacedLife)
}

// replacedLife is how long a replaced pair waits for the side that is to delete it.
const replacedLife = 90 * time.Second

// replacedEnd deletes a replaced pair that nobody has deleted, or goes on with it if what was to replace it is not there.
func (p *pair) replacedEnd() {
	if p.owner == nil || p.state != pairReplaced {
		return
	}
	if heir := p.policy.best(); heir == p || heir.state != pairLive {
		p.revive()
		return
	}
	p.delete(endReplaced, "replaced, and not deleted by the peer")
}

// revive makes a replaced pair live again, because its successor went first.
func (p *pair) revive() {
	if p.state != pairReplaced {
		return
	}
	p.moveTo(pairLive)
	p.next, p.crossing = nil, nil
	p.dates.soft.fire = p.softEnd
	p.owner.e.after(&p.dates.soft, temporaryPause)
}

// detach takes the pair from its IKE SA.
func (p *pair) detach() {
	s := p.owner
	s.pairs = slices.DeleteFunc(s.pairs, func(q *pair) bool { return q == p })
	p.policy.pairs = slices.DeleteFunc(p.policy.pairs, func(q *pair) bool { return q == p })
	s.e.timers.stop(&p.dates.soft)
	s.e.timers.stop(&p.dates.hard)
	s.e.timers.stop(&p.dates.use)
	s.e.touch(s.peer)
	p.owner = nil
}

// maxLingering bounds the deleted pairs of a policy that linger, should the peer make and delete them without end.
const maxLingering = 16

// linger removes the pair from the dataplane in a while.
func (p *pair) linger(e *Engine) {
	if len(p.policy.lingering) >= maxLingering {
		p.policy.lingering[0].gone(e)
	}
	p.moveTo(pairLingering)
	p.active = false
	p.policy.lingering = append(p.policy.lingering, p)
	p.dates.hard.fire = func() { p.gone(e) }
	e.after(&p.dates.hard, lingerPair)
}

// silence removes the pairs that linger. With the last pair that the peer knows, too, the dataplane would take them for the ones to send on.
func (p *policy) silence(e *Engine) {
	for _, q := range slices.Clone(p.lingering) {
		q.gone(e)
	}
}

// gone removes the pair from the dataplane.
func (p *pair) gone(e *Engine) {
	if p.state == pairGone {
		return
	}
	p.moveTo(pairGone)
	p.active = false
	p.policy.lingering = slices.DeleteFunc(p.policy.lingering, func(q *pair) bool { return q == p })
	e.timers.stop(&p.dates.hard)
	delete(e.pairs, p.sa.ID)
	e.emit(RemoveSA{ID: p.sa.ID})
}

// doing is what we are doing with the pair that a request names, for the collision rules.
func (p *pair) doing() childActivity {
	switch {
	case p == nil:
		return childAbsent
	case p.state == pairDeleting:
		return childClosing
	case p.state == pairReplaced:
		return childReplaced
	case p.rekeying != nil && p.rekeying == p.owner.work.current:
		return childRekeying
	}
	return childQuiet
}

// byOutSPI is the pair whose outbound SPI the peer names: the SPI "the exchange initiator would expect in inbound ESP or AH packets" (RFC 7296, Section 1.3.3).
func (s *ikeSA) byOutSPI(spi []byte) *pair {
	if len(spi) != 4 {
		return nil
	}
	for _, p := range s.pairs {
		if p.sa.SPIOut == binary.BigEndian.Uint32(spi) {
			return p
		}
	}
	return nil
}

// spiOctets is an ESP SPI as payloads carry it.
func spiOctets(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }

func (p *pair) String() string {
	return fmt.Sprintf("Child SA %08x in, %08x out", p.sa.SPIIn, p.sa.SPIOut)
}

// useNow lets the policy send on a pair that we asked for: "The initiator MAY begin sending on an SA as soon as it processes the response".
func (s *ikeSA) useNow(p *pair) {
	s.peer.settleDuplicates()
	p.settleRedundant()
	if p.state == pairLive {
		p.activate()
	}
}

// useDelay is how long a new pair that the peer asked for is not sent on, unless the peer is known to have it sooner: "the responder MAY defer sending messages on a
// new SA until either it receives one or a timeout has occurred" (RFC 7296, Section 2.8). The dataplane keeps the first packets meanwhile.
const useDelay = 800 * time.Millisecond

// inUse lets the policy send on a pair that the peer asked for, as soon as the peer has it.
func (s *ikeSA) inUse(p *pair) {
	s.peer.settleDuplicates()
	p.settleRedundant()
	s.e.after(&p.dates.use, useDelay)
}

// useAlone lets the policy send on the pair if it has nothing else to send on.
func (p *pair) useAlone() {
	if p.state != pairLive || p.policy.best() != p {
		return
	}
	for _, q := range p.policy.pairs {
		if q.active {
			return
		}
	}
	p.activate()
}

// proven says whether the peer surely has the pair when it handles a request about it: we asked for it; or it is of IKE_AUTH, before whose end nothing else is
// handled; or packets came on it; or the peer, which has but one request at a time outstanding, sent another one since.
func (p *pair) proven() bool {
	return p.creator || p.via.sa == nil || !p.traffic.in.IsZero() || p.via.sa.win.expected != p.via.next || p.via.sa.state >= saRekeyed
}

// settleRedundant decides between a new pair and other ones of its policy, with no rekeying meant: both sides asked at the same time. As after a simultaneous
// rekeying, the one with the lowest nonce is closed by its creator, but only when the peer surely has the other. Of two that we asked for the older one goes.
func (p *pair) settleRedundant() {
	for _, q := range slices.Clone(p.policy.pairs) {
		if q == p || q.state != pairLive || p.state != pairLive || q.owner != p.owner || q.crossing != nil || !p.creator && !q.creator {
			continue
		}
		loser, winner := q, p
		if q.creator != p.creator && compareRekeys(p.nonces, q.nonces) == keepTheirs {
			loser, winner = p, q
		}
		loser.replaced(winner)
		if loser.creator {
			loser.dates.soft.fire = func() { loser.delete(endReplaced, "redundant") }
			p.owner.e.after(&loser.dates.soft, lingerPair)
		}
	}
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
	p.policy.busy = true
	p.owner.enqueue(p.rekeying)
}

// hardEnd ends the pair whether or not it was rekeyed: "When the lifetime of a Security Association expires, the Security Association MUST NOT be used."
func (p *pair) hardEnd() {
	if p.owner == nil {
		p.gone(p.policy.peer.e)
		return
	}
	p.delete(endExpired, "its lifetime is over")
}

// A pair that the peer may not have yet is not deleted for so long, and looked at so often.
const (
	provenLimit = 10 * time.Second
	deletePause = 500 * time.Millisecond
)

// delete asks the peer to delete the pair, which goes when the peer has answered.
func (p *pair) delete(cause endCause, why string) {
	if p.owner == nil || p.state == pairDeleting || p.owner.state >= saClosing {
		return
	}
	s := p.owner
	if !p.proven() && s.e.turn.now.Sub(p.dates.born) < provenLimit {
		// The peer would know nothing of it, and install it when our answer arrives.
		p.dates.use.fire = func() { p.delete(cause, why) }
		s.e.after(&p.dates.use, deletePause)
		return
	}
	p.moveTo(pairDeleting)
	s.e.timers.stop(&p.dates.use)
	s.e.timers.stop(&p.dates.soft)
	s.e.timers.stop(&p.dates.hard)
	s.e.answerRefs(&p.refs, fmt.Errorf("the Child SA ended: %s", why))
	if heir := p.policy.best(); heir != nil && p.active && heir.sa.ID > p.sa.ID {
		p.giveWay(s.e, heir)
	}
	s.enqueue(&informational{kind: askDelete, pairs: []*pair{p}, cause: cause, why: why})
}
