package child

import (
	"fmt"
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
	seen     ipsec.Traffic // as the dataplane last reported it
	refs     []uint64      // Rekey commands to answer
	state    State
	outbound outState
	renewal  renewal
	creator  bool // we asked for it
	copied   bool // another carrier was asked for one like it
	grouped  bool // there may be others beside it for single resources (RFC 9611)
}

type pairDates struct {
	born, rekeyAt time.Time
	planned       time.Time   // when a replaced one would have been rekeyed
	soft, hard    timer.Timer // hard also ends the lingering of a deleted pair
	use           timer.Timer // when to start sending on a pair that the peer asked for
	refusals      int         // TEMPORARY_FAILURE responses to its rekeying, in a row
}

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

// Copied records that another carrier is asked for a pair like it.
func (p *Pair) Copied() { p.copied = true }

// Rekeying reports whether our negotiation that replaces the pair is queued or under way.
func (p *Pair) Rekeying() bool { return p.renewal == renewalBegun }

// RekeyAt returns when the pair will be rekeyed; zero: not planned.
func (p *Pair) RekeyAt() time.Time { return p.dates.rekeyAt }

// ExpiresAt returns the hard end of the pair's lifetime; zero: there is none.
func (p *Pair) ExpiresAt() time.Time { return p.dates.hard.At() }

// Seen returns when packets were last seen on the pair.
func (p *Pair) Seen() ipsec.Traffic { return p.seen }

// Saw records when packets were last seen on the pair. The first one received shows that the peer
// can receive on it: "The responder can be assured that the initiator is prepared to receive
// messages on an SA if [...] it has received a cryptographically valid message on the other half of
// the SA pair" (RFC 7296, Section 2.8).
func (p *Pair) Saw(t ipsec.Traffic) {
	first := p.seen.In.IsZero() && !t.In.IsZero()
	p.seen = t
	if first && p.state == Live && p.chain.Best() == p {
		p.activate()
	}
	if p.renewal == renewalInQuestion {
		p.judge()
	}
}

// table returns the table that the pair is in.
func (p *Pair) table() *Table { return p.policy.table }

func (p *Pair) String() string {
	return fmt.Sprintf("Child SA %08x in, %08x out", p.SA.SPIIn, p.SA.SPIOut)
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

// outState is what the dataplane was told to do with a pair's outbound SA.
type outState uint8

const (
	outInactive   outState = iota // do not send on it
	outActive                     // send on it
	outSuperseded                 // send on it, and since then on another one of the chain
)

// activate makes the chain send on the pair.
func (p *Pair) activate() {
	if p.outbound == outActive || p.carrier == nil || p.policy.held {
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

// giveWay moves sending to the successor, which may be older. The successor is activated first, so
// that there is always an SA to send on.
func (p *Pair) giveWay(successor *Pair) {
	if successor.chain.Best() == successor {
		successor.Revive()
	}
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
	if p.chain.resource > 0 && p.unsure() { // the main chain can be sent on meanwhile
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
