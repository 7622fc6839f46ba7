package protect

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Kind is the role of a prefix in a group.
type Kind uint8

const (
	// Outside is exempt: the group does not protect such destinations.
	Outside Kind = iota
	// Protect is a remote network.
	Protect
)

// A Group holds the policies that share their local networks of one family. Callers only read it.
type Group struct {
	ID    int            // unique in its Set, from 1 on, the smallest free one; freed with the group
	V6    bool           // the family
	Local []netip.Prefix // sorted, masked, without duplicates
	// Protected holds the protected destinations: sorted, disjoint intervals.
	Protected []Range

	key      string
	policies int
	full     int  // number of remote networks that are a whole family
	fresh    bool // no Change has reported it yet
	nodes    bart.Table[node]
}

// A node counts why a prefix is in a group: as a remote network and as an exempt one. A remote
// network takes precedence.
type node struct{ remote, exempt int }

func (n node) kind() Kind {
	if n.remote > 0 {
		return Protect
	}
	return Outside
}

// count adds to the counts of p, and removes p when both reach zero.
func (g *Group) count(p netip.Prefix, remote, exempt int) {
	n, _ := g.nodes.Get(p)
	n.remote += remote
	n.exempt += exempt
	if n.remote == 0 && n.exempt == 0 {
		g.nodes.Delete(p)
		return
	}
	g.nodes.Insert(p, n)
}

// KindOf returns the kind of the prefix p itself, or false if p is not in the group.
func (g *Group) KindOf(p netip.Prefix) (Kind, bool) {
	n, ok := g.nodes.Get(p)
	return n.kind(), ok
}

// Protects reports whether the group protects traffic to a.
func (g *Group) Protects(a netip.Addr) bool {
	n, ok := g.nodes.Lookup(a)
	return ok && n.kind() == Protect
}

// Prefixes calls f for every prefix of the group until it returns false.
func (g *Group) Prefixes(f func(p netip.Prefix, k Kind) bool) {
	for p, n := range g.nodes.All() {
		if !f(p, n.kind()) {
			return
		}
	}
}

// A Range holds the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

// RangeOf returns the addresses of a masked prefix.
func RangeOf(p netip.Prefix) Range { return Range{p.Addr(), last(p)} }

// last returns the last address of a masked prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// flatten returns the protected intervals within p.
func (g *Group) flatten(p netip.Prefix) []Range {
	var f flattener
	n, ok := g.nodes.LookupPrefix(p)
	f.open(p, ok && n.kind() == Protect)
	for sub, n := range g.nodes.Subnets(p) {
		if sub != p {
			f.open(sub, n.kind() == Protect)
		}
	}
	for len(f.stack) > 0 {
		f.close()
	}
	return f.out
}

// A flattener makes disjoint intervals from nested prefixes, which it takes in the order of their
// addresses, the wider one first.
type flattener struct {
	stack []level
	at    netip.Addr // start of the part not handled yet; invalid after the last address
	out   []Range
}

// A level is a prefix around the current address.
type level struct {
	last    netip.Addr
	protect bool
}

func (f *flattener) open(p netip.Prefix, protect bool) {
	for len(f.stack) > 0 && f.stack[len(f.stack)-1].last.Less(p.Addr()) {
		f.close()
	}
	if n := len(f.stack); n > 0 && f.stack[n-1].protect && f.at.Less(p.Addr()) {
		f.emit(f.at, p.Addr().Prev())
	}
	f.at = p.Addr()
	f.stack = append(f.stack, level{last(p), protect})
}

func (f *flattener) close() {
	top := f.stack[len(f.stack)-1]
	f.stack = f.stack[:len(f.stack)-1]
	if top.protect && f.at.IsValid() && !top.last.Less(f.at) {
		f.emit(f.at, top.last)
	}
	f.at = top.last.Next() // invalid after the last address of the family
}

func (f *flattener) emit(from, to netip.Addr) {
	if n := len(f.out); n > 0 && f.out[n-1].Last.Next() == from {
		f.out[n-1].Last = to
		return
	}
	f.out = append(f.out, Range{from, to})
}

// reflatten updates the intervals within p and returns those removed and those added.
func (g *Group) reflatten(p netip.Prefix) (removed, added []Range) {
	want := g.flatten(p)
	r := RangeOf(p)
	i, _ := slices.BinarySearchFunc(g.Protected, r.First, func(x Range, a netip.Addr) int { return x.Last.Compare(a) })
	j := i
	for j < len(g.Protected) && !r.Last.Less(g.Protected[j].First) {
		j++
	}
	old := slices.Clone(g.Protected[i:j])
	if slices.Equal(old, want) {
		return nil, nil
	}
	fresh := want
	if len(old) > 0 && old[0].First.Less(r.First) { // keep the part before p
		fresh = append([]Range{{old[0].First, r.First.Prev()}}, fresh...)
	}
	if n := len(old); n > 0 && r.Last.Less(old[n-1].Last) {
		fresh = append(slices.Clip(fresh), Range{r.Last.Next(), old[n-1].Last})
	}
	g.Protected = slices.Replace(g.Protected, i, j, fresh...)
	for _, x := range old {
		if !slices.Contains(fresh, x) {
			removed = append(removed, x)
		}
	}
	for _, x := range fresh {
		if !slices.Contains(old, x) {
			added = append(added, x)
		}
	}
	return removed, added
}
