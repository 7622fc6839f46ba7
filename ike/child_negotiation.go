package ike

import (
	"encoding/binary"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// A negotiation is the IKE_AUTH or CREATE_CHILD_SA exchange that made a pair, and the peer's
// exchange that replaces the pair, if any. It implements Origin.
type negotiation struct {
	proposal wire.Proposal
	nonces   noncePair
	crossing *crossing // the peer's exchange that replaces the pair, and may cross ours
	// via is the IKE SA on which the peer asked for the pair by CREATE_CHILD_SA, otherwise nil, and
	// next the message ID of the peer's next request there.
	via  *ikeSA
	next uint32
}

// negotiated returns the negotiation that made a pair.
func negotiated(p *child.Pair) *negotiation { return p.Origin.(*negotiation) }

// Proven reports whether the peer certainly has the pair when it handles a request about it: the
// pair comes from IKE_AUTH, before whose end nothing else is handled; or the peer, which has one
// outstanding request at a time, has sent another request since; or the IKE SA has ended.
func (n *negotiation) Proven() bool {
	return n.via == nil || n.via.win.ExpectedID() != n.next || n.via.state != saEstablished
}

// Crossed reports whether the peer is rekeying the pair, or has rekeyed it.
func (n *negotiation) Crossed() bool { return n.crossing != nil }

// Outlasts applies the rule of a simultaneous rekeying: the pair with the lowest nonce goes.
func (n *negotiation) Outlasts(other child.Origin) bool {
	return compareRekeys(n.nonces, other.(*negotiation).nonces) == keepOurs
}

// Revived forgets the peer's rekeying, whose pair is gone.
func (n *negotiation) Revived() { n.crossing = nil }

// doingWith returns, for the collision rules, what we are doing with the pair that a request names,
// which is nil if there is none.
func doingWith(p *child.Pair) childActivity {
	switch {
	case p == nil:
		return childAbsent
	case p.State() == child.Deleting:
		return childClosing
	case p.State() == child.Replaced:
		return childReplaced
	case p.Rekeying() && rekeysNow(p):
		return childRekeying
	}
	return childQuiet
}

// rekeysNow reports whether the rekeying of the pair is the current exchange.
func rekeysNow(p *child.Pair) bool {
	s := saOf(p)
	if s == nil {
		return false
	}
	x, ok := s.work.Current().(*childExchange)
	return ok && x.old == p
}

// spiOctets returns an ESP SPI as payloads carry it.
func spiOctets(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }
