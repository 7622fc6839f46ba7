package selector

import "net/netip"

// Prefixes returns the fewest networks that make up the address range, lowest first: at most 62 for
// IPv4 and 254 for IPv6.
func (s Selector) Prefixes() []netip.Prefix {
	if p, ok := s.Prefix(); ok {
		return []netip.Prefix{p}
	}
	if !s.Valid() {
		return nil
	}
	whole := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if s.Is6() {
		whole = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return appendPrefixes(nil, whole, s.Start, s.End)
}

// Prefix returns the network equal to the address range; ok is false if there is none.
func (s Selector) Prefix() (p netip.Prefix, ok bool) {
	if !s.Start.IsValid() || s.Start.BitLen() != s.End.BitLen() {
		return netip.Prefix{}, false
	}
	p = netip.PrefixFrom(s.Start, commonBits(s.Start, s.End)).Masked()
	return p, p.Addr() == s.Start && lastAddr(p) == s.End
}

// appendPrefixes appends the networks within p that lie in start to end: p itself, or those of its
// halves.
func appendPrefixes(list []netip.Prefix, p netip.Prefix, start, end netip.Addr) []netip.Prefix {
	first, last := p.Addr(), lastAddr(p)
	if last.Less(start) || end.Less(first) {
		return list
	}
	if !first.Less(start) && !end.Less(last) {
		return append(list, p)
	}
	lower, upper := halves(p)
	return appendPrefixes(appendPrefixes(list, lower, start, end), upper, start, end)
}

// halves splits a masked prefix of more than one address.
func halves(p netip.Prefix) (lower, upper netip.Prefix) {
	bits := p.Bits()
	octets := p.Addr().AsSlice()
	octets[bits/8] |= 0x80 >> (bits % 8)
	high, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(high, bits+1)
}

// lastAddr returns the highest address of a masked prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	octets := p.Addr().AsSlice()
	for i := range octets {
		octets[i] |= 0xff >> max(p.Bits()-i*8, 0) // nothing in the octets of the network
	}
	a, _ := netip.AddrFromSlice(octets)
	return a
}

// commonBits returns the number of leading bits that two addresses of one family share.
func commonBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	n := 0
	for i := range x {
		diff := x[i] ^ y[i]
		if diff == 0 {
			n += 8
			continue
		}
		for ; diff&0x80 == 0; diff <<= 1 {
			n++
		}
		break
	}
	return n
}

// unmapPrefix turns a 4-in-6 mapped prefix of at least 96 bits into the IPv4 one, and removes the
// zone.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
}
