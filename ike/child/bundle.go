package child

import (
	"encoding/binary"
	"slices"
)

// A Bundle is the pairs on one carrier, the oldest first. The zero value is empty.
type Bundle struct{ list []*Pair }

// Pairs returns the pairs. The caller must not change the list, and must copy it if it ends pairs
// meanwhile.
func (b *Bundle) Pairs() []*Pair { return b.list }

func (b *Bundle) add(p *Pair) { b.list = append(b.list, p) }

func (b *Bundle) remove(p *Pair) {
	b.list = slices.DeleteFunc(b.list, func(q *Pair) bool { return q == p })
}

// Named returns the pair with the given outbound SPI, or nil. Peers name a Child SA by the SPI "the
// exchange initiator would expect in inbound ESP or AH packets" (RFC 7296, Section 1.3.3).
func (b *Bundle) Named(spi []byte) *Pair {
	for _, p := range b.list {
		if p.SA.SPIOut == SPIOf(spi) {
			return p
		}
	}
	return nil
}

// ByName returns the pairs by their outbound SPIs, for a message that names many.
func (b *Bundle) ByName() map[uint32]*Pair {
	named := make(map[uint32]*Pair, len(b.list))
	for _, p := range b.list {
		named[p.SA.SPIOut] = p
	}
	return named
}

// SPIOf returns the ESP SPI of a payload, or 0, which is none (RFC 4303, Section 2.1), for one that
// has not four octets.
func SPIOf(spi []byte) uint32 {
	if len(spi) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(spi)
}

// Of returns the live pair of a policy, preferably of the main chain, or nil.
func (b *Bundle) Of(pol *Policy) *Pair {
	var other *Pair
	for _, p := range slices.Backward(b.list) {
		if p.policy != pol || p.state != Live {
			continue
		}
		if p.chain.IsMain() {
			return p
		}
		other = p
	}
	return other
}

// InPlaceOf returns the live pair that can take the place of one on another carrier, or nil: of the
// same chain, or else one that carries all that the other does. For a pair for a single resource
// that is any of its policy.
func (b *Bundle) InPlaceOf(q *Pair) *Pair {
	if q.chain.resource > 0 {
		return b.Of(q.policy)
	}
	var other *Pair
	for _, p := range slices.Backward(b.list) {
		if p.policy != q.policy || p.state != Live {
			continue
		}
		if p.chain == q.chain {
			return p
		}
		if other == nil && p.carriesAll(q) {
			other = p
		}
	}
	return other
}

// Wants reports whether a pair like that of another carrier is to be made on this one: it is live,
// nothing can take its place, and it was not asked for yet.
func (b *Bundle) Wants(q *Pair) bool { return q.state == Live && !q.copied && b.InPlaceOf(q) == nil }

// HandOver moves all pairs to the carrier's successor.
func (b *Bundle) HandOver(successor Carrier) {
	to := successor.Children()
	for _, p := range b.list {
		p.carrier = successor
		to.add(p)
	}
	b.list = nil
}

// Lost ends all pairs, because their carrier has ended.
func (b *Bundle) Lost(cause Cause, why string) {
	for _, p := range slices.Clone(b.list) {
		p.Lost(cause, why)
	}
}

// Lacks reports whether a policy has a live pair on the other bundle only, or one there that is to
// be made here.
func (b *Bundle) Lacks(other *Bundle) bool {
	return slices.ContainsFunc(other.list, func(q *Pair) bool {
		return q.state == Live && (b.Of(q.policy) == nil || b.Wants(q))
	})
}

// MakeRedundant marks the pairs as replaced by those of another carrier to the same peer, so that
// nothing switches back to them. Those for single resources end with their carrier; their workers
// send on the other's pairs until they request others. What was decided the other way round before
// is undone.
func (b *Bundle) MakeRedundant(winner *Bundle) {
	winner.reinstate(b)
	for _, q := range b.list {
		if successor := winner.InPlaceOf(q); successor != nil && q.state == Live && q.chain.resource == 0 {
			q.Replaced(successor)
		}
	}
}

// reinstate makes the pairs live again that those of another carrier were to replace, of each chain
// the newest.
func (b *Bundle) reinstate(other *Bundle) {
	for _, p := range slices.Backward(b.list) {
		if p.state == Replaced && slices.Contains(other.list, p.next) && p.chain.On(p.carrier) == nil {
			p.Revive()
		}
	}
}

// TakeOver moves sending from the pairs of another carrier to these. Those for single resources
// wait for the carrier's end, unless it is silent: its peer does not answer.
func (b *Bundle) TakeOver(loser *Bundle, silent bool) {
	loser.MakeRedundant(b)
	for _, q := range slices.Clone(loser.list) {
		successor := b.InPlaceOf(q)
		if successor != nil && q.outbound == outActive && (silent || q.chain.resource == 0) {
			q.giveWay(successor.known())
		}
	}
}
