package ike

import "culvert/ike/child"

// crossing is the peer's rekeying of a pair, which may cross our own (RFC 7296, Section 2.8.1).
type crossing struct {
	nonces noncePair
	pair   *child.Pair // nil until it is installed
	lost   *child.Pair // our own successor, once it is known to stay
	failed bool
}

// over reports whether the peer's rekeying failed, or its pair was already deleted.
func (c *crossing) over() bool {
	return c.failed || c.pair != nil && (c.pair.Carrier() == nil || c.pair.State() == child.Deleting)
}

// crossed reports whether the peer's rekeying of the same pair is under way or has succeeded.
func (x *childExchange) crossed() bool {
	if x.old == nil || x.old.Carrier() == nil {
		return false
	}
	c := negotiated(x.old).crossing
	return c != nil && !c.over()
}

// settle decides, after a rekeying of ours, between the new pair and that of a rekeying by the peer
// (RFC 7296, Section 2.8.1).
func (x *childExchange) settle(p *child.Pair) {
	old := x.old
	if old.Carrier() == nil { // the peer has deleted it meanwhile
		saOf(p).useNow(p)
		return
	}
	c := negotiated(old).crossing
	if c != nil && !c.over() && compareRekeys(negotiated(p).nonces, c.nonces) == keepTheirs {
		// "the SA created with the lowest of the four nonces used in the two exchanges SHOULD be
		// closed by the endpoint that created it."
		p.Replaced(c.pair)
		old.Replaced(c.pair)
		p.Delete(child.EndReplaced, "redundant: both sides rekeyed at the same time")
		return
	}
	var theirs []*child.Pair
	if c != nil {
		c.lost = p
		if c.pair != nil && !c.over() {
			theirs = append(theirs, c.pair)
		}
	}
	p.Supersedes(old, theirs...)
}

// acceptPeers leaves the rekeying to the peer's exchange, which crossed ours.
func (x *childExchange) acceptPeers() {
	x.old.Answer(nil)
	if x.crossed() && x.old.State() == child.Live {
		x.old.Replaced(negotiated(x.old).crossing.pair)
	}
}
