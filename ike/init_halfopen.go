package ike

import "net/netip"

// halfOpenTable counts the IKE SAs that others have begun and that are not authenticated: half-open ones, and those that were refused and linger to say so again.
// They are what a stranger can fill our memory with.
type halfOpenTable struct {
	count int
	from  map[netip.Prefix]int
}

// sourceShare is the part of all half-open IKE SAs that may come from one source. A cookie shows that an address is no fake, but not that it means well;
// the others are to get through still (RFC 8019, Section 4.2).
const sourceShare = 16

// sourceOf is what one caller is known by: an IPv4 address, or the /64 that an IPv6 host has for itself.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// admits says whether one more may call from an address.
func (c *halfOpenTable) admits(from netip.Addr, limit int) bool {
	return c.count < limit && c.from[sourceOf(from)] < max(limit/sourceShare, 1)
}

// add counts an IKE SA.
func (c *halfOpenTable) add(s *ikeSA, from netip.Addr) {
	if c.from == nil {
		c.from = map[netip.Prefix]int{}
	}
	s.source = sourceOf(from)
	c.from[s.source]++
	c.count++
}

// remove no longer counts an IKE SA: it is authenticated, or gone.
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
