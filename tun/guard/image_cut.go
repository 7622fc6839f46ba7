package guard

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"culvert/tun/protect"
)

// A piece is an interval of local addresses and the sorted IDs of all groups that have it.
type piece struct {
	protect.Range
	groups []int
}

// An owned is a local network of a group.
type owned struct {
	netip.Prefix
	group int
}

// cut returns the local networks of groups, which may contain each other, as sorted disjoint
// pieces.
func cut(locals []owned) []piece {
	slices.SortFunc(locals, func(a, b owned) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()), cmp.Compare(a.group, b.group))
	})
	var c cutter
	for i := 0; i < len(locals); {
		p, groups := locals[i].Prefix, []int(nil)
		for ; i < len(locals) && locals[i].Prefix == p; i++ {
			groups = append(groups, locals[i].group)
		}
		groups = slices.Compact(groups)
		c.open(p, groups)
	}
	for len(c.stack) > 0 {
		c.close()
	}
	return c.out
}

// A cutter takes prefixes in the order of their addresses, the wider one first.
type cutter struct {
	stack []piece    // prefixes around the current address, each with the groups of the wider ones
	at    netip.Addr // start of the part not in out yet; invalid after the last address
	out   []piece
}

func (c *cutter) open(p netip.Prefix, groups []int) {
	for len(c.stack) > 0 && c.stack[len(c.stack)-1].Last.Less(p.Addr()) {
		c.close()
	}
	r := protect.RangeOf(p)
	if n := len(c.stack); n > 0 {
		around := c.stack[n-1].groups
		if c.at.Less(r.First) {
			c.emit(c.at, r.First.Prev(), around)
		}
		groups = slices.Concat(around, groups)
		slices.Sort(groups)
		groups = slices.Compact(groups)
	}
	c.at = r.First
	c.stack = append(c.stack, piece{r, groups})
}

func (c *cutter) close() {
	top := c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
	if c.at.IsValid() && !top.Last.Less(c.at) {
		c.emit(c.at, top.Last, top.groups)
	}
	c.at = top.Last.Next()
}

func (c *cutter) emit(from, to netip.Addr, groups []int) {
	if n := len(c.out); n > 0 && c.out[n-1].Last.Next() == from && slices.Equal(c.out[n-1].groups, groups) {
		c.out[n-1].Last = to
		return
	}
	c.out = append(c.out, piece{protect.Range{First: from, Last: to}, groups})
}

// key returns the key of a set of groups.
func key(v6 bool, groups []int) string {
	var b strings.Builder
	b.WriteString(strconv.FormatBool(v6))
	for _, g := range groups {
		b.WriteByte(' ')
		b.WriteString(strconv.Itoa(g))
	}
	return b.String()
}
