package protect

import (
	"net/netip"
	"slices"
)

// An Opening holds flows that are no longer protected: from the local networks to the remote ones.
type Opening struct{ Local, Remote []netip.Prefix }

// Opened returns the flows that the set's latest change left unprotected, without those that
// another group protects.
func (s *Set) Opened(c Change) []Opening {
	var out []Opening
	for i := range c.Groups {
		gc := &c.Groups[i]
		ranges := gc.Removed
		if gc.Gone {
			ranges = gc.Protected
		} else {
			ranges = without(ranges, gc.Added)
		}
		for _, g := range s.groups {
			if len(ranges) > 0 && g != gc.Group && g.V6 == gc.V6 && g.serves(gc.Local) {
				ranges = without(ranges, g.Protected)
			}
		}
		if len(ranges) == 0 {
			continue
		}
		o := Opening{Local: gc.Local}
		for _, r := range ranges {
			o.Remote = append(o.Remote, r.Prefixes()...)
		}
		out = append(out, o)
	}
	return out
}

// serves reports whether the group's local networks contain all of local.
func (g *Group) serves(local []netip.Prefix) bool {
	for _, l := range local {
		if !slices.ContainsFunc(g.Local, func(p netip.Prefix) bool { return p.Bits() <= l.Bits() && p.Contains(l.Addr()) }) {
			return false
		}
	}
	return true
}

// without returns the parts of a that are not in b. Both are sorted and disjoint.
func without(a, b []Range) []Range {
	var out []Range
	for _, r := range a {
		for len(b) > 0 && b[0].Last.Less(r.First) {
			b = b[1:]
		}
		rest := b
		for ; r.First.IsValid() && !r.Last.Less(r.First); r.First, rest = rest[0].Last.Next(), rest[1:] {
			if len(rest) == 0 || r.Last.Less(rest[0].First) {
				out = append(out, r)
				break
			}
			if r.First.Less(rest[0].First) {
				out = append(out, Range{r.First, rest[0].First.Prev()})
			}
		}
	}
	return out
}

// Prefixes returns the smallest list of prefixes that covers exactly the range.
func (r Range) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for a := r.First; a.IsValid() && !r.Last.Less(a); {
		p := netip.PrefixFrom(a, a.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(a, p.Bits()-1)
			if wider.Masked() != wider || r.Last.Less(last(wider)) {
				break
			}
			p = wider
		}
		out = append(out, p)
		a = last(p).Next()
	}
	return out
}
