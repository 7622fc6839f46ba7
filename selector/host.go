package selector

import "net/netip"

// Host returns the only address of a list of selectors, as those of transport mode have; ok is
// false if there are several addresses or none.
func Host(list []Selector) (a netip.Addr, ok bool) {
	for i, s := range list {
		if s.Start != s.End || i > 0 && s.Start != list[0].Start {
			return netip.Addr{}, false
		}
	}
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	return list[0].Start, true
}

// At returns a list of selectors with a as the address of each: the protocols and ports stay.
func At(list []Selector, a netip.Addr) []Selector {
	out := make([]Selector, len(list))
	for i, s := range list {
		s.Start, s.End = a, a
		out[i] = s
	}
	return out
}
