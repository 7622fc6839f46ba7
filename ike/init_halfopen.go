package ike

import "net/netip"

// callers counts the IKE SAs that others have begun and that are not authenticated: half-open ones, and those that were refused and linger to say so again.
// They are what a stranger can fill our memory with.
type callers struct {
	count int
	from  map[netip.Prefix]int
}

// oneCaller is the part of all half-open IKE SAs that may come from one source. A cookie shows that an address is no fake, but not that it means well;
// the others are to get through still (RFC 8019, Section 4.2).
const oneCaller = 16

// sourceOf is what one caller is known by: an IPv4 address, or the /64 that an IPv6 host has for itself.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// room says whether one more may call from an address.
func (c *callers) room(from netip.Addr, limit int) bool {
	return c.count < limit && c.from[sourceOf(from)] < max(limit/oneCaller, 1)
}

// came counts an IKE SA.
func (c *callers) came(s *ikeSA, from netip.Addr) {
	if c.from == nil {
		c.from = map[netip.Prefix]int{}
	}
	s.caller = sourceOf(from)
	c.from[s.caller]++
	c.count++
}

// went no longer counts an IKE SA: it is authenticated, or gone.
func (c *callers) went(s *ikeSA) {
	if !s.caller.IsValid() {
		return
	}
	if c.from[s.caller]--; c.from[s.caller] == 0 {
		delete(c.from, s.caller)
	}
	c.count--
	s.caller = netip.Prefix{}
}
