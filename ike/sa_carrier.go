package ike

import "culvert/ike/child"

// A carrier is an IKE SA as its Child SAs know it: it holds them, and has the exchanges about them
// made. It implements child.Carrier.
type carrier struct {
	child.Bundle
	sa *ikeSA
}

// Children returns the Child SAs of the IKE SA.
func (c *carrier) Children() *child.Bundle { return &c.Bundle }

// Established reports whether Child SAs can be rekeyed.
func (c *carrier) Established() bool { return c.sa.state == saEstablished }

// Ending reports whether the IKE SA is being deleted, or has ended.
func (c *carrier) Ending() bool { return c.sa.state.ending() }

// Rekey queues the exchange that replaces the pair.
func (c *carrier) Rekey(p *child.Pair) { c.sa.enqueue(newChildExchange(p.Policy(), p)) }

// Request queues the exchange for the first pair of a chain for a single resource.
func (c *carrier) Request(l *child.Chain) {
	x := newChildExchange(l.Policy(), nil)
	x.chain = l
	c.sa.enqueue(x)
}

// Delete queues the exchange that deletes the pair.
func (c *carrier) Delete(p *child.Pair, cause child.Cause, why string) {
	c.sa.enqueue(&informational{kind: askDelete, pairs: []*child.Pair{p}, cause: cause, why: why})
}
