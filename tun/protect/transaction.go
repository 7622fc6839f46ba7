package protect

import (
	"net/netip"
	"slices"
)

// A transaction records the prefixes that a call touches, each with its state before the call.
type transaction struct {
	order  []*Group
	before map[*Group]map[netip.Prefix]was
}

// A was is the state of a prefix before a call: its kind, and whether it was in the group.
type was struct {
	kind Kind
	ok   bool
}

func newTransaction() *transaction {
	return &transaction{before: make(map[*Group]map[netip.Prefix]was)}
}

// touch records the state of p. It is called before p changes.
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

// commit updates the intervals of the touched groups and returns the difference.
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

// difference returns the group's change since before, and updates its intervals.
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

// update updates the intervals after some prefixes changed, and returns the difference.
func (g *Group) update(changed []netip.Prefix) (removed, added []Range) {
	if len(changed) > updateWhole {
		old := g.Protected
		g.Protected = g.whole()
		return subtract(old, g.Protected), subtract(g.Protected, old)
	}
	old := make(map[Range]bool) // in force before, and no longer
	now := make(map[Range]bool) // in force now, and not before
	for _, p := range canonical(changed) {
		r, a := g.reflatten(p)
		for _, x := range r {
			if now[x] { // added by an earlier step
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

// updateWhole is the number of changed prefixes above which all intervals are computed again.
const updateWhole = 256

// subtract returns the elements of a that are not in b.
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
