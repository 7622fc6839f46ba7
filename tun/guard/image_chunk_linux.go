package guard

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// A chunk is a part of a group's intervals in a set of its own: from its first address to that of
// the next chunk. The cost of a change grows with the elements of the set, which the kernel copies,
// so that the size of sets is bounded. A packet's address is first compared with the bounds, and
// then searched for in one chunk.
type chunk struct {
	first  netip.Addr
	number int
	n      int // number of intervals, or parts of them, in the set
}

// defaultChunk is the initial number of intervals in a chunk. When a chunk has more than twice as
// many, its group is laid out again.
const defaultChunk = 4096

func (c *Config) chunkSize() int {
	if c.chunk > 0 {
		return c.chunk
	}
	return defaultChunk
}

// layOut adds new sets with a group's intervals.
func (m *image) layOut(b *batch, id int, g *group) {
	list := slices.Collect(maps.Keys(g.ranges))
	sortRanges(list)
	lowest := netip.IPv4Unspecified()
	if g.v6 {
		lowest = netip.IPv6Unspecified()
	}
	g.chunks = nil
	for size := m.cfg.chunkSize(); len(list) > 0 || g.chunks == nil; {
		part := list[:min(size, len(list))]
		list = list[len(part):]
		g.last++
		c := chunk{lowest, g.last, len(part)}
		if g.chunks != nil {
			c.first = part[0].First
		}
		g.chunks = append(g.chunks, c)
		b.addSet(setName(id, c.number), g.v6, false)
		b.ranges(unix.NFT_MSG_NEWSETELEM, setName(id, c.number), part)
	}
}

// layOutAgain replaces the sets of a group, and the rules that use them.
func (m *image) layOutAgain(b *batch, id int, g *group) {
	old := g.setNames(id)
	m.layOut(b, id, g)
	for _, s := range m.sets {
		if !slices.Contains(s.groups, id) || s.v6 != g.v6 {
			continue
		}
		m.cfg.each(s.v6, func(p *purpose) {
			name := p.chainName(s.v6, s.number)
			b.flushChain(name)
			m.addLookups(b, p, s, name)
		})
	}
	for _, name := range old {
		b.deleteSet(name)
	}
}

// setNames returns the names of the group's sets.
func (g *group) setNames(id int) (names []string) {
	for _, c := range g.chunks {
		names = append(names, setName(id, c.number))
	}
	return names
}

// place adds sorted intervals to the chunks, or removes them. It cuts intervals at the bounds.
func (g *group) place(b *batch, msg uint16, id int, list []protect.Range) {
	parts := make(map[int][]protect.Range)
	for _, r := range list {
		i, found := slices.BinarySearchFunc(g.chunks, r.First, func(c chunk, a netip.Addr) int { return c.first.Compare(a) })
		if !found {
			i--
		}
		for ; i+1 < len(g.chunks) && !r.Last.Less(g.chunks[i+1].first); i++ {
			next := g.chunks[i+1].first
			parts[i] = append(parts[i], protect.Range{First: r.First, Last: next.Prev()})
			r.First = next
		}
		parts[i] = append(parts[i], r)
	}
	for _, i := range slices.Sorted(maps.Keys(parts)) {
		b.ranges(msg, setName(id, g.chunks[i].number), parts[i])
		if msg == unix.NFT_MSG_NEWSETELEM {
			g.chunks[i].n += len(parts[i])
		} else {
			g.chunks[i].n -= len(parts[i])
		}
	}
}

// within matches a loaded address between the bounds of a chunk.
func (g *group) within(i int) (out []expr.Any) {
	if i > 0 {
		out = append(out, &expr.Cmp{Op: expr.CmpOpGte, Register: reg, Data: g.chunks[i].first.AsSlice()})
	}
	if i+1 < len(g.chunks) {
		out = append(out, &expr.Cmp{Op: expr.CmpOpLt, Register: reg, Data: g.chunks[i+1].first.AsSlice()})
	}
	return out
}
