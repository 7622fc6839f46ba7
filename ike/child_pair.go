package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// pair is one Child SA: an inbound and an outbound ESP SA (RFC 7296, Section 1.4.1), from its
// installation until the dataplane has removed it.
//
// A rekeying leaves two of them for a while. The side that asked for the new pair sends on it at
// once. The other side keeps sending on the old pair until the new one carries traffic or the old
// one is deleted (Section 2.8). After the deletion the inbound half stays for a few seconds, for
// packets that are still in flight.
type pair struct {
	sa       ipsec.ChildSA // as installed, without the keys
	owner    *ikeSA        // nil once it is deleted
	policy   *policy
	chain    *chain
	state    pairState
	creator  bool // we asked for it
	grouped  bool // there may be others beside it for single resources (RFC 9611)
	proposal wire.Proposal
	nonces   noncePair // of the exchange that made it
	rekeying exchange  // our exchange that replaces it, queued or outstanding
	crossing *crossing // the peer's exchange that replaces it, and may cross ours
	next     *pair     // its replacement
	dates    pairDates
	traffic  trafficSeen
	refs     []uint64 // Rekey commands to answer
	via      origin
	judged   bool // the dataplane was asked whether the pair has carried traffic
	outbound outState
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

// origin identifies the request that made a pair: its IKE SA, and the message ID of the peer's next
// request there.
type origin struct {
	sa   *ikeSA
	next uint32
}

// trafficSeen holds the times of the last packets, as the dataplane last reported them.
type trafficSeen struct{ in, out time.Time }

// lingerPair is how long the inbound half of a deleted pair still accepts packets.
const lingerPair = 5 * time.Second

// install adds the pair to the chain and makes the dataplane accept packets on it.
func (e *Engine) install(s *ikeSA, p *pair, l *chain) {
	e.lastPair++
	l = l.now()
	l.add(p)
	p.sa.Resource, p.sa.PerResource = l.resource, p.grouped && e.cfg.Resources > 1
	p.sa.ID, p.owner, p.state = e.lastPair, s, pairLive
	p.dates.born = e.handling.now
	p.dates.soft.Fire = p.softDue
	p.dates.hard.Fire = p.hardEnd
	p.dates.use.Fire = func() { p.useAlone() }
	e.pairs[p.sa.ID] = p
	s.pairs = append(s.pairs, p)
	e.emit(InstallInbound{SA: p.sa})
	p.sa.KeyIn, p.sa.KeyOut = nil, nil // who carries the effect out clears them
	p.schedule()
	e.touch(s.party)
}

// moveTo is the one setter of the state.
func (p *pair) moveTo(to pairState) {
	mustMove("a Child SA", p.state, to, pairMoves[p.state])
	p.state = to
	if p.owner != nil {
		p.owner.e.touch(p.owner.party)
	}
}

// activate makes the chain send on the pair.
func (p *pair) activate() {
	if p.outbound == outActive || p.owner == nil {
		return
	}
	for _, q := range p.chain.pairs {
		if q.outbound == outActive {
			q.outbound = outSuperseded
		}
	}
	p.outbound = outActive
	p.owner.e.emit(ActivateOutbound{ID: p.sa.ID})
}

// lost ends the pair on our side. If the policy has another pair, that one takes over and this one
// lingers; otherwise this one is removed at once.
func (p *pair) lost(cause endCause, why string) {
	e, pol, l := p.owner.e, p.policy, p.chain
	p.answerEnd(why)
	p.detach()
	if pol.best() == nil {
		told := p.state == pairDeleting && len(pol.pairs()) > 0 // when the last one in use, or the last of all, was deleted
		pol.silence(e)
		p.gone(e)
		if !told {
			pol.lost(cause, why)
		}
		return
	}
	if successor := l.best(); successor != nil && p.outbound == outActive {
		p.giveWay(e, successor)
	}
	if len(l.pairs) == 0 {
		l.ended(why)
	}
	if cause == endDead || cause == endMoved || cause == endRestarted {
		p.gone(e)
		return
	}
	p.linger(e)
}

// answerEnd answers the Rekey commands of a pair that ends. The end of a pair for a single resource
// is not an error, because the main chain takes over its traffic.
func (p *pair) answerEnd(why string) {
	err := fmt.Errorf("the Child SA ended: %s", why)
	if !p.chain.isMain() && p.policy.main.best() != nil {
		err = nil
	}
	p.policy.party.e.answerRefs(&p.refs, err)
}

// giveWay moves sending to the successor, which may be older. The successor is activated first, so
// that there is always an SA to send on.
func (p *pair) giveWay(e *Engine, successor *pair) {
	successor.revive()
	successor.activate()
	p.quiet(e)
}

// quiet stops sending on the pair.
func (p *pair) quiet(e *Engine) {
	if p.outbound != outInactive {
		p.outbound = outInactive
		e.emit(DeactivateOutbound{ID: p.sa.ID})
	}
}

// replaced records that another pair does, or will do, the work of this one. One side will delete
// this one.
func (p *pair) replaced(next *pair) {
	p.next = next
	if p.state == pairLive {
		p.moveTo(pairReplaced)
	}
	p.dates.rekeyAt = time.Time{}
	p.dates.soft.Fire = p.replacedEnd
	p.owner.e.after(&p.dates.soft, replacedLife)
}

// replacedLife is how long a replaced pair waits for the side that should delete it.
const replacedLife = 90 * time.Second

// replacedEnd deletes a replaced pair that the other side has not deleted. If there is no live
// successor it revives the pair instead.
func (p *pair) replacedEnd() {
	if p.owner == nil || p.state != pairReplaced {
		return
	}
	if successor := p.chain.best(); successor == p || successor.state != pairLive {
		p.revive()
		return
	}
	p.delete(endReplaced, "replaced, but the peer did not delete it")
}

// revive makes a replaced pair live again, because its successor ended first.
func (p *pair) revive() {
	if p.state != pairReplaced {
		return
	}
	p.moveTo(pairLive)
	p.next, p.crossing = nil, nil
	p.dates.soft.Fire = p.softDue
	p.owner.e.after(&p.dates.soft, timer.TemporaryPause)
}

// detach removes the pair from its IKE SA and its chain.
func (p *pair) detach() {
	s := p.owner
	s.pairs = slices.DeleteFunc(s.pairs, func(q *pair) bool { return q == p })
	p.chain.remove(p)
	s.e.timers.Stop(&p.dates.soft)
	s.e.timers.Stop(&p.dates.hard)
	s.e.timers.Stop(&p.dates.use)
	s.e.touch(s.party)
	p.owner = nil
}

// maxLingering bounds the lingering pairs of a policy, per chain, because a peer could make and
// delete pairs without end.
const maxLingering = 16

// linger keeps the pair for late inbound packets. Nothing may be sent on an SA that the peer has
// deleted.
func (p *pair) linger(e *Engine) {
	if len(p.policy.lingering) >= maxLingering*(1+len(p.policy.more)) {
		p.policy.lingering[0].gone(e)
	}
	p.moveTo(pairLingering)
	p.quiet(e)
	p.policy.lingering = append(p.policy.lingering, p)
	p.dates.hard.Fire = func() { p.gone(e) }
	e.after(&p.dates.hard, lingerPair)
}

// silence removes the lingering pairs of a policy that has no other pair left.
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
	p.outbound = outInactive
	p.policy.lingering = slices.DeleteFunc(p.policy.lingering, func(q *pair) bool { return q == p })
	e.timers.Stop(&p.dates.hard)
	delete(e.pairs, p.sa.ID)
	e.emit(RemoveSA{ID: p.sa.ID})
}

// doing returns, for the collision rules, what we are doing with the pair that a request names.
func (p *pair) doing() childActivity {
	switch {
	case p == nil:
		return childAbsent
	case p.state == pairDeleting:
		return childClosing
	case p.state == pairReplaced:
		return childReplaced
	case p.rekeying != nil && p.rekeying == p.owner.work.Current():
		return childRekeying
	}
	return childQuiet
}

// byOutSPI returns the pair with the given outbound SPI, or nil. Peers name a Child SA by the SPI
// "the exchange initiator would expect in inbound ESP or AH packets" (RFC 7296, Section 1.3.3).
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

// spiOctets returns an ESP SPI as payloads carry it.
func spiOctets(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }

func (p *pair) String() string {
	return fmt.Sprintf("Child SA %08x in, %08x out", p.sa.SPIIn, p.sa.SPIOut)
}

// useNow starts sending on a pair that we asked for. "The initiator MAY begin sending on an SA as
// soon as it processes the response" (RFC 7296, Section 2.8).
func (s *ikeSA) useNow(p *pair) {
	s.party.settleDuplicates()
	p.settleRedundant()
	if p.state == pairLive {
		p.activate()
	}
}

// useDelay is how long a new pair that the peer asked for is not sent on, unless it is known sooner
// that the peer has it. "the responder MAY defer sending messages on a new SA until either it
// receives one or a timeout has occurred" (RFC 7296, Section 2.8). The dataplane keeps the first
// packets meanwhile.
const useDelay = 800 * time.Millisecond

// inUse starts sending on a pair that the peer asked for as soon as the peer has it, at the latest
// after useDelay.
func (s *ikeSA) inUse(p *pair) {
	s.party.settleDuplicates()
	p.settleRedundant()
	s.e.after(&p.dates.use, useDelay)
}

// useAlone starts sending on the pair if its chain sends on no other.
func (p *pair) useAlone() {
	if p.state != pairLive || p.chain.best() != p {
		return
	}
	for _, q := range p.chain.pairs {
		if q.outbound == outActive {
			return
		}
	}
	if !p.chain.isMain() && p.unsure() { // the main chain can be sent on meanwhile
		p.owner.e.after(&p.dates.use, deletePause)
		return
	}
	p.activate()
}

// proven reports whether the peer certainly has the pair when it handles a request about it: we
// asked for it; or it comes from IKE_AUTH, before whose end nothing else is handled; or packets
// came on it; or the peer, which has one outstanding request at a time, has sent another request
// since.
func (p *pair) proven() bool {
	return p.creator || p.via.sa == nil || !p.traffic.in.IsZero() || p.via.sa.win.ExpectedID() != p.via.next || p.via.sa.state != saEstablished
}

// settleRedundant decides between a new pair and other pairs of its chain that are not rekeyed by
// it, which happens when both sides ask at the same time. As after a simultaneous rekeying, the
// pair with the lowest nonce is closed by its creator, but only once the peer certainly has the
// other pair. Of two pairs that we asked for, the older one is closed.
func (p *pair) settleRedundant() {
	for _, q := range slices.Clone(p.chain.pairs) {
		if q == p || q.state != pairLive || p.state != pairLive || q.owner != p.owner || q.crossing != nil || !p.creator && !q.creator {
			continue
		}
		loser, winner := q, p
		if q.creator != p.creator && compareRekeys(p.nonces, q.nonces) == keepTheirs {
			loser, winner = p, q
		}
		loser.replaced(winner)
		if loser.creator {
			loser.dates.soft.Fire = func() { loser.delete(endReplaced, "redundant") }
			p.owner.e.after(&loser.dates.soft, lingerPair)
		}
	}
}
