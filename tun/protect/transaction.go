package protect

import (
	"net/netip"
	"slices"
)

// transaction gathers which prefixes a call touches, each with what it was before.
type transaction struct {
	order  []*Group
	before map[*Group]map[netip.Prefix]was
}

type was struct {
	kind Kind
	ok   bool
}

func newTransaction() *transaction {
	return &transaction{before: make(map[*Group]map[netip.Prefix]was)}
}

// touch notes what p is, before the first change of it.
func (t *transaction) touch(g *Group, p netip.Prefix) {
	m := t.before[g]
	if m == nil {
		m = make(map[netip.Prefix]was)
		t.before[g] = m
		t.order = append(t.order, g)
	}
	if _, ok := m[p]; !ok {
		k, ok := g.KindOf(p)
		m[p] = was{k, ok}
	}
}

// commit brings the intervals of the touched groups up to date and returns the difference.
func (s *Set) commit(t *transaction) Change {
	var c Change
	for _, g := range t.order {
		if g.policies == 0 {
			delete(s.groups, g.key)
			delete(s.byID, g.ID)
			s.free = append(s.free, g.ID)
			slices.SortFunc(s.free, func(a, b int) int { return b - a })
			if !g.fresh {
				c.Groups = append(c.Groups, GroupChange{Group: g, Gone: true})
			}
			continue
		}
		if gc := g.difference(t.before[g]); gc.New || len(gc.Set)+len(gc.Unset)+len(gc.Added)+len(gc.Removed) > 0 {
			c.Groups = append(c.Groups, gc)
		}
	}
	return c
}

func (g *Group) difference(before map[netip.Prefix]was) GroupChange {
	gc := GroupChange{Group: g, New: g.fresh, Set: make(map[netip.Prefix]Kind)}
	var changed []netip.Prefix
	for p, old := range before {
		k, ok := g.KindOf(p)
		switch {
		case ok == old.ok && k == old.kind:
			continue
		case ok:
			gc.Set[p] = k
		default:
			gc.Unset = append(gc.Unset, p)
		}
		changed = append(changed, p)
	}
	if g.fresh {
		g.fresh = false
		g.Protected = g.whole()
		gc.Added = slices.Clone(g.Protected)
		return gc
	}
	gc.Removed, gc.Added = g.update(changed)
	return gc
}

// whole returns all protected intervals of the group's family.
func (g *Group) whole() []Range {
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if g.V6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return g.flatten(all)
}

// update brings the intervals up to date after changes of some prefixes.
func (g *Group) update(changed []netip.Prefix) (removed, added []Range) {
	if len(changed) > updateWhole {
		old := g.Protected
		g.Protected = g.whole()
		return subtract(old, g.Protected), subtract(g.Protected, old)
	}
	old := make(map[Range]bool) // true: there before
	now := make(map[Range]bool)
	for _, p := range canonical(changed) {
		r, a := g.reflatten(p)
		for _, x := range r {
			if now[x] { // of a step before
				delete(now, x)
				continue
			}
			old[x] = true
		}
		for _, x := range a {
			if old[x] {
				delete(old, x)
				continue
			}
			now[x] = true
		}
	}
	return sorted(old), sorted(now)
}

// updateWhole is from how many changes on all intervals are worked out afresh.
const updateWhole = 256

// subtract returns those of a that are not in b. Both are sorted.
func subtract(a, b []Range) []Range {
	in := make(map[Range]bool, len(b))
	for _, x := range b {
		in[x] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(x Range) bool { return in[x] })
}

func sorted(m map[Range]bool) []Range {
	var out []Range
	for x := range m {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Range) int { return a.First.Compare(b.First) })
	return out
}
