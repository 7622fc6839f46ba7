package protect

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
)

// Bounds of Owners: the cost does not grow with the number of policies.
const (
	maxOwners      = 256  // policies
	maxOwned       = 1024 // their remote networks
	maxOwnerGroups = 64   // their groups
	maxOwnerVisits = 4096 // prefixes visited
)

// Owners finds the policies that own protected flows, by the rule of the SPD: the longest remote
// network that holds the destination decides, and between equal ones the first policy. It covers
// the first policies of an order, as far as they keep within the bounds above; the flows of all
// others have no owner. It is valid until the Set changes.
type Owners struct {
	set    *Set
	order  []ID
	known  []ID
	first  map[int]map[netip.Prefix]int // by group: the owner of a network, as an index of order
	owned  int
	visits int
}

// An Owned is an interval of destinations and the policy that owns protected flows to them.
type Owned struct {
	Range
	ID
}

// Owners returns the owners among the policies of the set, in the given order.
func (s *Set) Owners(order iter.Seq[ID]) *Owners {
	o := &Owners{set: s, first: make(map[int]map[netip.Prefix]int)}
	for id := range order {
		if len(o.order) == maxOwners {
			break
		}
		o.add(id)
	}
	return o
}

func (o *Owners) add(id ID) {
	n := len(o.order)
	o.order = append(o.order, id)
	networks, groups := 0, 0
	for _, p := range o.set.policies[id].parts {
		networks += len(p.remote)
		if o.first[p.group.ID] == nil {
			groups++
		}
	}
	if networks == 0 || o.owned+networks > maxOwned || len(o.first)+groups > maxOwnerGroups {
		return
	}
	o.owned += networks
	o.known = append(o.known, id)
	for _, p := range o.set.policies[id].parts {
		m := o.first[p.group.ID]
		if m == nil {
			m = make(map[netip.Prefix]int)
			o.first[p.group.ID] = m
		}
		for _, r := range p.remote {
			if _, ok := m[r]; !ok {
				m[r] = n
			}
		}
	}
}

// Policies returns the policies that can own flows, in order.
func (o *Owners) Policies() []ID { return o.known }

// Name returns the name of a policy.
func (o *Owners) Name(id ID) string { return o.set.policies[id].name }

// In reports whether a group has a policy that can own flows.
func (o *Owners) In(group int) bool { return o.first[group] != nil }

// Of returns the owners of flows whose source is in the local networks of exactly these groups, as
// sorted, disjoint intervals of destinations.
func (o *Owners) Of(groups []int) []Owned {
	var in []*Group
	var networks []netip.Prefix
	for _, id := range groups {
		if g := o.set.byID[id]; g != nil {
			in = append(in, g)
		}
		for p := range o.first[id] {
			networks = append(networks, p)
		}
	}
	var out []Owned
	for _, p := range outermost(networks) {
		for _, x := range o.within(in, p) {
			if n := len(out); n > 0 && out[n-1].ID == x.ID && out[n-1].Last.Next() == x.First {
				out[n-1].Last = x.Last
				continue
			}
			out = append(out, x)
		}
	}
	return out
}

// outermost returns the prefixes of a list that no other one contains, sorted.
func outermost(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range canonical(list) {
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}

// within returns the owners of the destinations in p, cut where a different prefix begins to
// decide.
func (o *Owners) within(groups []*Group, p netip.Prefix) []Owned {
	var out []Owned
	cuts := o.cuts(groups, p)
	for i, from := range cuts {
		to := last(p)
		if i+1 < len(cuts) {
			to = cuts[i+1].Prev()
		}
		if id, ok := o.owner(groups, from); ok {
			out = append(out, Owned{Range{from, to}, id})
		}
	}
	return out
}

// cuts returns the addresses in p at which a different prefix of the groups may begin to decide. It
// returns nil beyond maxOwnerVisits.
func (o *Owners) cuts(groups []*Group, p netip.Prefix) []netip.Addr {
	cuts := []netip.Addr{p.Addr()}
	for _, g := range groups {
		for sub := range g.nodes.Subnets(p) {
			if o.visits++; o.visits > maxOwnerVisits {
				return nil
			}
			cuts = append(cuts, sub.Addr())
			if after := last(sub).Next(); after.IsValid() && p.Contains(after) {
				cuts = append(cuts, after)
			}
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	return slices.Compact(cuts)
}

// owner returns the owner of flows to a, or false if there is none.
func (o *Owners) owner(groups []*Group, a netip.Addr) (id ID, ok bool) {
	bits, who := -1, len(o.order)
	for _, g := range groups {
		p, n, found := g.nodes.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
		if !found || n.kind() != Protect {
			continue
		}
		place, known := o.first[g.ID][p]
		if !known {
			place = len(o.order)
		}
		if c := cmp.Compare(p.Bits(), bits); c > 0 || c == 0 && place < who {
			bits, who = p.Bits(), place
		}
	}
	if who == len(o.order) {
		return 0, false
	}
	return o.order[who], true
}
