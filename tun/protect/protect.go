// Package protect holds the part of the SPD (RFC 4301, Section 4.4.1) that goes to the kernel:
// which flows between prefixes are protected, and which are exempt. Routes (package tun) bring
// protected flows to the device; the guard (package tun/guard) drops them everywhere else. Both
// follow the same Changes, so that they cannot disagree.
//
// Policies with the same local networks form a Group. Within a group the longest prefix that
// contains a destination decides whether it is protected; the group leaves a destination that none
// of its prefixes contains alone. A flow is protected if any group whose local networks contain its
// source protects it.
//
// The package does no I/O.
package protect

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// An ID identifies a policy in a Set, and means nothing else.
type ID uint64

// A Policy holds the selectors of one policy as the kernel sees them: addresses without ports.
type Policy struct {
	ID
	Name          string         // for people, such as PEER/CHILD: what is counted for the policy bears it
	Local, Remote []netip.Prefix // either family; each family needs networks on both sides
	Bypass        []netip.Prefix // exempt from Remote, unless Remote has the same prefix or a longer one
}

// linkScope holds the destinations that never leave a link. Remote networks such as 0.0.0.0/0 and
// ::/0 do not mean them: RFC 3927, RFC 5771 (224.0.0/24), RFC 919, RFC 4291.
var linkScope = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/24"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff01::/16"),
	netip.MustParsePrefix("ff02::/16"),
}

// A Set holds the policies in force. It is not safe for concurrent use.
type Set struct {
	policies map[ID]member
	groups   map[string]*Group
	byID     map[int]*Group
	exempt   []netip.Prefix // for all groups
	host     []netip.Prefix // for groups with a full tunnel
	lastID   int
	free     []int // free group IDs up to lastID, the smallest last
}

// A member is a policy of a Set.
type member struct {
	name  string
	parts []placed
}

// A placed is a policy's share of a group.
type placed struct {
	group          *Group
	remote, bypass []netip.Prefix
}

// NewSet returns a set without policies.
func NewSet() *Set {
	return &Set{policies: make(map[ID]member), groups: make(map[string]*Group), byID: make(map[int]*Group)}
}

// A Change holds the groups that a call changed.
type Change struct{ Groups []GroupChange }

// A GroupChange is the difference in one group. That of a new group holds its whole content.
type GroupChange struct {
	*Group
	New, Gone bool // this is the first or the last change of the group
	// Set holds the prefixes that are new or changed their Kind, Unset those that left the group.
	Set   map[netip.Prefix]Kind
	Unset []netip.Prefix
	// Added and Removed are intervals of protected destinations. Remove before adding.
	Added, Removed []Range
}

// Change removes the policies gone, adds those of set in place of any with the same ID, and returns
// the difference. IDs in set are distinct. The cost does not grow with the number of other
// policies.
func (s *Set) Change(set []Policy, gone []ID) Change {
	t := newTransaction()
	for _, id := range gone {
		s.remove(t, id)
	}
	for i := range set {
		s.remove(t, set[i].ID)
	}
	for i := range set {
		s.add(t, &set[i])
	}
	return s.commit(t)
}

// Exempt sets the prefixes that no group protects unless it has the same prefix or a longer one as
// a remote network, and returns the difference: all is for every group, and host for groups with a
// whole family as a remote network (a full tunnel).
func (s *Set) Exempt(all, host []netip.Prefix) Change {
	t := newTransaction()
	all, host = canonical(all), canonical(host)
	for _, g := range s.groups {
		s.exemptIn(t, g, s.exempt, all)
		if g.full > 0 {
			s.exemptIn(t, g, s.host, host)
		}
	}
	s.exempt, s.host = all, host
	return s.commit(t)
}

func (s *Set) exemptIn(t *transaction, g *Group, before, after []netip.Prefix) {
	for _, p := range before {
		if p.Addr().Is6() == g.V6 && !slices.Contains(after, p) {
			t.touch(g, p)
			g.count(p, 0, -1)
		}
	}
	for _, p := range after {
		if p.Addr().Is6() == g.V6 && !slices.Contains(before, p) {
			t.touch(g, p)
			g.count(p, 0, 1)
		}
	}
}

// Groups returns all groups, ordered by ID.
func (s *Set) Groups() []*Group {
	var out []*Group
	for _, g := range s.groups {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *Group) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// IDs returns the IDs of the policies in force, in any order.
func (s *Set) IDs() []ID { return slices.Collect(maps.Keys(s.policies)) }

// Whole returns the change from an empty set to this one.
func (s *Set) Whole() Change {
	var c Change
	for _, g := range s.Groups() {
		gc := GroupChange{Group: g, New: true, Set: make(map[netip.Prefix]Kind), Added: slices.Clone(g.Protected)}
		for p, n := range g.nodes.All() {
			gc.Set[p] = n.kind()
		}
		c.Groups = append(c.Groups, gc)
	}
	return c
}

func (s *Set) remove(t *transaction, id ID) {
	for _, p := range s.policies[id].parts {
		s.place(t, p, -1)
		p.group.policies--
	}
	delete(s.policies, id)
}

func (s *Set) add(t *transaction, p *Policy) {
	m := member{name: p.Name}
	for _, v6 := range []bool{false, true} {
		local, remote := family(p.Local, v6), family(p.Remote, v6)
		if len(local) == 0 || len(remote) == 0 {
			continue
		}
		part := placed{s.group(t, v6, local), remote, family(p.Bypass, v6)}
		part.group.policies++
		s.place(t, part, 1)
		m.parts = append(m.parts, part)
	}
	if m.parts != nil {
		s.policies[p.ID] = m
	}
}

func (s *Set) place(t *transaction, p placed, n int) {
	for _, r := range p.remote {
		t.touch(p.group, r)
		p.group.count(r, n, 0)
		if r.Bits() == 0 {
			s.fullTunnel(t, p.group, n)
		}
	}
	for _, b := range p.bypass {
		t.touch(p.group, b)
		p.group.count(b, 0, n)
	}
}

// fullTunnel adds n to the group's count of remote networks that are a whole family, and exempts
// the host's prefixes from the first one to the last.
func (s *Set) fullTunnel(t *transaction, g *Group, n int) {
	before := g.full > 0
	g.full += n
	switch after := g.full > 0; {
	case after && !before:
		s.exemptIn(t, g, nil, s.host)
	case before && !after:
		s.exemptIn(t, g, s.host, nil)
	}
}

// group returns the group of the local networks, and makes it if there is none.
func (s *Set) group(t *transaction, v6 bool, local []netip.Prefix) *Group {
	var key strings.Builder
	for _, p := range local {
		key.WriteString(p.String())
		key.WriteByte(' ')
	}
	if g := s.groups[key.String()]; g != nil {
		return g
	}
	g := &Group{ID: s.newID(), V6: v6, Local: local, key: key.String(), fresh: true}
	s.groups[g.key], s.byID[g.ID] = g, g
	for _, exempt := range [][]netip.Prefix{local, family(linkScope, v6), family(s.exempt, v6)} {
		for _, p := range exempt {
			t.touch(g, p)
			g.count(p, 0, 1)
		}
	}
	return g
}

func (s *Set) newID() int {
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		return id
	}
	s.lastID++
	return s.lastID
}

// canonical returns the valid prefixes of list, masked, sorted and without duplicates.
func canonical(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		if p.IsValid() {
			out = append(out, p.Masked())
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(out)
}

// family returns the prefixes of list that are of one family, in canonical form.
func family(list []netip.Prefix, v6 bool) []netip.Prefix {
	return slices.DeleteFunc(canonical(list), func(p netip.Prefix) bool { return p.Addr().Is6() != v6 })
}
