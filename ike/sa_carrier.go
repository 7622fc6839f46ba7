package ike

import "culvert/ike/child"

// An IKE SA carries pairs. This file implements Carrier.

// saOf returns the IKE SA that carries the pair, or nil once the pair is deleted.
func saOf(p *child.Pair) *ikeSA {
	s, _ := p.Carrier().(*ikeSA)
	return s
}

// Children returns the Child SAs of the IKE SA.
func (s *ikeSA) Children() *child.Bundle { return &s.children }

// Established reports whether Child SAs can be rekeyed.
func (s *ikeSA) Established() bool { return s.state == saEstablished }

// Ending reports whether the IKE SA is being deleted, or has ended.
func (s *ikeSA) Ending() bool { return s.state.ending() }

// Rekey queues the exchange that replaces the pair.
func (s *ikeSA) Rekey(p *child.Pair) { s.enqueue(newChildExchange(p.Policy(), p)) }

// Request queues the exchange for the first pair of a chain for a single resource.
func (s *ikeSA) Request(l *child.Chain) {
	x := newChildExchange(l.Policy(), nil)
	x.chain = l
	s.enqueue(x)
}

// Delete queues the exchange that deletes the pair.
func (s *ikeSA) Delete(p *child.Pair, cause child.Cause, why string) {
	s.enqueue(&informational{kind: askDelete, pairs: []*child.Pair{p}, cause: cause, why: why})
}
