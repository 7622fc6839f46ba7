package ike

import (
	"net/netip"
	"slices"

	"culvert/selector"
)

// claims records which party has which remote addresses: disjoint ranges in order. An address
// belongs to one party, whatever the protocol and the ports.
type claims struct{ list []claim }

type claim struct {
	addrRange
	owner *party
}

// An addrRange holds the addresses from first to last, both included.
type addrRange struct{ first, last netip.Addr }

// rangesOf returns the addresses of selectors as disjoint ranges in order.
func rangesOf(list []selector.Selector) []addrRange {
	var all []addrRange
	for _, s := range list {
		all = append(all, addrRange{s.Start, s.End})
	}
	slices.SortFunc(all, func(a, b addrRange) int { return a.first.Compare(b.first) })
	var out []addrRange
	for _, r := range all {
		if n := len(out); n > 0 && out[n-1].last.BitLen() == r.first.BitLen() && !out[n-1].last.Less(r.first) {
			if out[n-1].last.Less(r.last) {
				out[n-1].last = r.last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// at returns the place of the first range that ends at a or later.
func (c *claims) at(a netip.Addr) int {
	i, _ := slices.BinarySearchFunc(c.list, a, func(have claim, a netip.Addr) int { return have.last.Compare(a) })
	return i
}

// conflict returns another party that has an address of the ranges, or nil.
func (c *claims) conflict(owner *party, ranges []addrRange) *party {
	for _, r := range ranges {
		for i := c.at(r.first); i < len(c.list) && !r.last.Less(c.list[i].first); i++ {
			if c.list[i].owner != owner {
				return c.list[i].owner
			}
		}
	}
	return nil
}

// fewClaims is the number of ranges up to which set moves them one by one.
const fewClaims = 8

// set replaces the owner's ranges, of which no other party has a part. Its cost is that of one pass
// over all, whatever their number.
func (c *claims) set(owner *party, ranges []addrRange) {
	old := owner.claimed
	owner.claimed = ranges
	if len(old)+len(ranges) > fewClaims {
		c.merge(owner, ranges)
		return
	}
	for _, r := range old {
		i := c.at(r.first)
		c.list = slices.Delete(c.list, i, i+1)
	}
	for _, r := range ranges {
		c.list = slices.Insert(c.list, c.at(r.first), claim{r, owner})
	}
}

// merge is set for many ranges.
func (c *claims) merge(owner *party, ranges []addrRange) {
	list := make([]claim, 0, len(c.list)+len(ranges))
	for _, have := range c.list {
		if have.owner == owner {
			continue
		}
		for len(ranges) > 0 && ranges[0].first.Less(have.first) {
			list, ranges = append(list, claim{ranges[0], owner}), ranges[1:]
		}
		list = append(list, have)
	}
	for _, r := range ranges {
		list = append(list, claim{r, owner})
	}
	c.list = list
}
