package guard

import (
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// An image is the content of the table, as it is or as the next commit will make it.
type image struct {
	cfg        *Config
	groups     map[int]*group
	pieces     [2]map[protect.Range]int // by family: local intervals to numbers of groupSets
	sets       map[string]*groupSet     // by key
	free       []int                    // numbers of sets that are gone
	attributed attribution
}

// A group is the copy of a protect.Group, kept from its changes.
type group struct {
	v6     bool
	local  []netip.Prefix
	ranges map[protect.Range]struct{}
	chunks []chunk
	last   int // number of the latest chunk's set
}

// A groupSet holds the groups that some local addresses have in common. It has a chain for each
// purpose.
type groupSet struct {
	v6     bool
	number int
	groups []int
	uses   int // number of pieces that use it
}

func newImage(cfg *Config) *image {
	m := &image{cfg: cfg, groups: make(map[int]*group), sets: make(map[string]*groupSet)}
	for i := range m.pieces {
		m.pieces[i] = make(map[protect.Range]int)
	}
	return m
}

func index(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// apply applies a change to the image, and puts the difference into b.
func (m *image) apply(b *batch, c protect.Change) {
	var gone []string
	var recut [2]bool
	for i := range c.Groups {
		gc := &c.Groups[i]
		if gc.New || gc.Gone {
			recut[index(gc.V6)] = true
		}
		if gc.Gone {
			if g := m.groups[gc.ID]; g != nil {
				gone = append(gone, g.setNames(gc.ID)...)
			}
			delete(m.groups, gc.ID)
			continue
		}
		m.applyGroup(b, gc)
	}
	for _, v6 := range families {
		if recut[index(v6)] {
			m.recut(b, v6)
		}
	}
	if recut[0] || recut[1] {
		m.addCover(b)
	}
	for _, name := range gone {
		b.deleteSet(name)
	}
}

func (m *image) applyGroup(b *batch, gc *protect.GroupChange) {
	g := m.groups[gc.ID]
	fresh := gc.New || g == nil
	if fresh {
		g = &group{v6: gc.V6, local: gc.Local, ranges: make(map[protect.Range]struct{}, len(gc.Added))}
		m.groups[gc.ID] = g
	}
	for _, r := range gc.Removed {
		delete(g.ranges, r)
	}
	for _, r := range gc.Added {
		g.ranges[r] = struct{}{}
	}
	if fresh {
		m.layOut(b, gc.ID, g)
		return
	}
	g.place(b, unix.NFT_MSG_DELSETELEM, gc.ID, gc.Removed)
	g.place(b, unix.NFT_MSG_NEWSETELEM, gc.ID, gc.Added)
	if slices.ContainsFunc(g.chunks, func(c chunk) bool { return c.n > 2*m.cfg.chunkSize() }) {
		m.layOutAgain(b, gc.ID, g)
	}
}

func (b *batch) ranges(msg uint16, set string, list []protect.Range) {
	b.elements(msg, set, len(list), func(i int) (protect.Range, leadsTo) { return list[i], leadsTo{} })
}

// recut updates the pieces of a family's local networks, and the chains to which they lead.
func (m *image) recut(b *batch, v6 bool) {
	var locals []owned
	for id, g := range m.groups {
		if g.v6 != v6 {
			continue
		}
		for _, p := range g.local {
			locals = append(locals, owned{p, id})
		}
	}
	before, now := m.pieces[index(v6)], make(map[protect.Range]int)
	var added, removed []protect.Range
	for _, p := range cut(locals) {
		s := m.use(b, v6, p.groups)
		now[p.Range] = s.number
		if n, ok := before[p.Range]; !ok || n != s.number {
			added = append(added, p.Range)
		}
	}
	for r, n := range before {
		if have, ok := now[r]; !ok || have != n {
			removed = append(removed, r)
		}
	}
	sortRanges(removed)
	m.cfg.each(v6, func(p *purpose) {
		b.ranges(unix.NFT_MSG_DELSETELEM, p.mapName(v6), removed)
		b.elements(unix.NFT_MSG_NEWSETELEM, p.mapName(v6), len(added), func(i int) (protect.Range, leadsTo) {
			return added[i], leadsTo{chain: p.chainName(v6, now[added[i]])}
		})
	})
	m.pieces[index(v6)] = now
	m.forget(b, v6)
}

func sortRanges(list []protect.Range) {
	slices.SortFunc(list, func(a, b protect.Range) int { return a.First.Compare(b.First) })
}

// use returns the set of some groups for one more piece, and makes it if there is none.
func (m *image) use(b *batch, v6 bool, groups []int) *groupSet {
	k := key(v6, groups)
	s := m.sets[k]
	if s == nil {
		s = &groupSet{v6: v6, number: len(m.sets) + 1, groups: groups}
		if n := len(m.free); n > 0 {
			s.number, m.free = m.free[n-1], m.free[:n-1]
		}
		m.sets[k] = s
		m.addChains(b, s)
	}
	s.uses++
	return s
}

// addChains adds the chains of a set of groups.
func (m *image) addChains(b *batch, s *groupSet) {
	m.cfg.each(s.v6, func(p *purpose) {
		name := p.chainName(s.v6, s.number)
		b.addChain(name)
		m.addLookups(b, p, s, name)
	})
}

// addLookups adds the rules of a chain of a set of groups.
func (m *image) addLookups(b *batch, p *purpose, s *groupSet, chain string) {
	for _, id := range s.groups {
		g := m.groups[id]
		if g == nil { // gone; the chain goes with this batch
			continue
		}
		for i := range g.chunks {
			b.addRule(chain, seq(p.remote(s.v6)), g.within(i), seq(inSet(setName(id, g.chunks[i].number))), goTo(p.target))
		}
	}
}

// forget removes the sets of groups of a family that no piece has used since the last call.
func (m *image) forget(b *batch, v6 bool) {
	for k, s := range m.sets {
		if s.v6 != v6 {
			continue
		}
		if s.uses > 0 {
			s.uses = 0
			continue
		}
		m.cfg.each(v6, func(p *purpose) { b.deleteChain(p.chainName(v6, s.number)) })
		m.free = append(m.free, s.number)
		delete(m.sets, k)
	}
}

// whole puts the whole table into a batch, in place of one of the same name. The counters start
// from counted.
func (m *image) whole(b *batch, counted counts) {
	b.addTable() // deleting an absent table would fail
	b.deleteTable()
	b.addTable()
	b.addCounter(counterOut, counted.Out)
	b.addCounter(counterIn, counted.In)
	b.addCounter(counterICMP, counted.ICMP)
	m.cfg.addRules(b)
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		m.groups[id].last = 0
		m.layOut(b, id, m.groups[id])
	}
	m.sets, m.free = make(map[string]*groupSet), nil
	for _, v6 := range families {
		clear(m.pieces[index(v6)])
		m.recut(b, v6)
	}
	m.wholeAttribution(b, counted.byPolicy)
	m.addCover(b)
}
