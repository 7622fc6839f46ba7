package ike

import "net/netip"

// A halfOpenTable counts the IKE SAs that peers began and that are not authenticated: half-open
// ones, and refused ones that still answer copies of the last request. It bounds the memory that
// strangers can fill.
type halfOpenTable struct {
	count int
	from  map[netip.Prefix]int
}

// sourceShare is the inverse of the part of all half-open IKE SAs that one source may have. A
// cookie proves that an address is genuine, not that its user is honest, and others must still get
// through (RFC 8019, Section 4.2).
const sourceShare = 16

// sourceOf returns what counts as one source: an IPv4 address, or the /64 of an IPv6 address.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// admits reports whether the limits allow another half-open IKE SA from an address.
func (c *halfOpenTable) admits(from netip.Addr, limit int) bool {
	return c.count < limit && c.from[sourceOf(from)] < max(limit/sourceShare, 1)
}

// add counts an IKE SA of a source.
func (c *halfOpenTable) add(s *ikeSA, from netip.Addr) {
	if c.from == nil {
		c.from = map[netip.Prefix]int{}
	}
	s.source = sourceOf(from)
	c.from[s.source]++
	c.count++
}

// remove takes an IKE SA out of the count: it is authenticated, or gone.
func (c *halfOpenTable) remove(s *ikeSA) {
	if !s.source.IsValid() {
		return
	}
	if c.from[s.source]--; c.from[s.source] == 0 {
		delete(c.from, s.source)
	}
	c.count--
	s.source = netip.Prefix{}
}
