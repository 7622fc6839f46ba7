package tun

import (
	"cmp"
	"net/netip"
	"slices"

	"culvert/tun/protect"

	"golang.org/x/sys/unix"
)

// A plan holds the rules and routes that the kernel should have. It follows changes of the policies
// and of the host's addresses, at a cost that does not grow with the unchanged part, and does no
// I/O.
//
// Tables are counted from the router's first. Table 0 is for packets of this host without a source
// yet: its routes prefer an own address in the local networks of the group that protects the
// destination. Each group has the table of its ID. The longest prefix decides in all tables. The
// exempt prefixes of a group are throw routes, so that traffic between local networks is routed as
// without a tunnel.
type plan struct {
	ports  []uint16
	errors bool // there is a mark for ICMP errors

	groups  map[int]*member
	count   [2]int             // of groups, by family
	sourced [2][]*member       // groups with an own address, the best source first
	addrs   []netip.Addr       // own addresses, sorted
	own     map[netip.Addr]int // number of groups with the own address in a local network

	passARP  bool           // rules let ARP of protected neighbours pass
	links    []netip.Prefix // the IPv4 ones of addrs with the length of their networks, sorted
	arpAddrs map[netip.Addr]bool

	rules   map[rule]bool
	unbound map[netip.Prefix]hop
}

// A member is a group.
type member struct {
	id      int
	v6      bool
	local   []netip.Prefix // the longest first
	kinds   map[netip.Prefix]protect.Kind
	src     netip.Addr // own address in the longest prefix of local that has one; invalid: none
	srcBits int
}

// A hop is the target of a route of the plan: the next rule, or the device.
type hop struct {
	throw bool
	src   netip.Addr // preferred; invalid: none
}

// A dest identifies a route of the plan.
type dest struct {
	table int
	dst   netip.Prefix
}

// An edit holds the rules and routes of a plan that a change added, changed or removed.
type edit struct {
	rules  map[rule]bool
	routes map[dest]bool
}

// claimed is a destination that no packet has. The router routes it to the device from the start,
// so that other daemons see that the table is in use.
var claimed = dest{dst: netip.MustParsePrefix("0.0.0.0/32")}

func newPlan(ports []uint16, errors bool) *plan {
	return &plan{
		ports: ports, errors: errors, groups: make(map[int]*member), own: make(map[netip.Addr]int), arpAddrs: make(map[netip.Addr]bool),
		rules: make(map[rule]bool), unbound: map[netip.Prefix]hop{claimed.dst: {}},
	}
}

// want returns the hop of d, or false if the plan has no such route.
func (p *plan) want(d dest) (hop, bool) {
	if d.table == 0 {
		h, ok := p.unbound[d.dst]
		return h, ok
	}
	g := p.groups[d.table]
	if g == nil {
		return hop{}, false
	}
	k, ok := g.kinds[d.dst]
	return hop{throw: k == protect.Outside}, ok
}

// all calls f for each route of a table.
func (p *plan) all(table int, f func(d dest, h hop)) {
	if table == 0 {
		for dst, h := range p.unbound {
			f(dest{0, dst}, h)
		}
		return
	}
	for dst, k := range p.groups[table].kinds {
		f(dest{table, dst}, hop{throw: k == protect.Outside})
	}
}

// apply follows a change of the policies.
func (p *plan) apply(c protect.Change) edit {
	e := edit{make(map[rule]bool), make(map[dest]bool)}
	for _, g := range c.Groups {
		if g.Gone {
			p.drop(e, p.groups[g.ID])
		}
	}
	for _, g := range c.Groups {
		if g.Gone {
			continue
		}
		m := p.groups[g.ID]
		if m == nil {
			m = p.join(e, g.Group)
		}
		for dst, k := range g.Set {
			m.kinds[dst] = k
			p.touch(e, m, dst)
		}
		for _, dst := range g.Unset {
			delete(m.kinds, dst)
			p.touch(e, m, dst)
		}
	}
	if p.affectsNeighbours(c) {
		p.updateARP(e)
	}
	p.common(e)
	return e
}

// touch adds the routes for dst of a group to the edit.
func (p *plan) touch(e edit, m *member, dst netip.Prefix) {
	e.routes[dest{m.id, dst}] = true
	if m.src.IsValid() {
		p.merge(e, m.v6, dst)
	}
}

// join adds a group without routes.
func (p *plan) join(e edit, g *protect.Group) *member {
	m := &member{id: g.ID, v6: g.V6, local: slices.Clone(g.Local), kinds: make(map[netip.Prefix]protect.Kind)}
	slices.SortStableFunc(m.local, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	p.groups[m.id] = m
	p.count[index(m.v6)]++
	p.groupRules(e, m, true)
	for _, a := range p.addrs {
		if m.holds(a) {
			p.countOwn(e, a, 1)
		}
	}
	p.setSource(e, m)
	return m
}

// drop removes a group.
func (p *plan) drop(e edit, m *member) {
	if m == nil {
		return
	}
	delete(p.groups, m.id)
	p.count[index(m.v6)]--
	p.groupRules(e, m, false)
	for _, a := range p.addrs {
		if m.holds(a) {
			p.countOwn(e, a, -1)
		}
	}
	p.unsource(m)
	for dst := range m.kinds {
		p.touch(e, m, dst)
	}
}

func (p *plan) groupRules(e edit, m *member, on bool) {
	for _, l := range m.local {
		p.setRule(e, rule{v6: m.v6, at: ruleFrom, src: l, table: m.id}, on)
	}
	p.setRule(e, rule{v6: m.v6, at: ruleErrors, table: m.id}, on && p.errors)
}

// common updates the rules that a family has once.
func (p *plan) common(e edit) {
	for _, v6 := range []bool{false, true} {
		i := index(v6)
		for k, on := range familyRules(v6, p.count[i] > 0, len(p.sourced[i]) > 0, p.errors) {
			p.setRule(e, k, on)
		}
	}
}

func (p *plan) setRule(e edit, k rule, on bool) {
	if p.rules[k] == on {
		return
	}
	e.rules[k] = true
	if on {
		p.rules[k] = true
	} else {
		delete(p.rules, k)
	}
}

// countOwn adds n to the number of groups with an own address in a local network. If there is one,
// the tunnels' own packets may come to the address from a remote network.
func (p *plan) countOwn(e edit, a netip.Addr, n int) {
	if !a.Is4() {
		return
	}
	p.own[a] += n
	on := p.own[a] > 0
	if !on {
		delete(p.own, a)
	}
	src := netip.PrefixFrom(a, a.BitLen())
	p.setRule(e, rule{at: ruleOwn, src: src, proto: unix.IPPROTO_ESP}, on)
	for _, port := range p.ports {
		p.setRule(e, rule{at: ruleOwn, src: src, proto: unix.IPPROTO_UDP, port: port}, on)
	}
}

// setAddrs follows a change of the host's addresses, which are sorted and have the prefix lengths
// of their networks.
func (p *plan) setAddrs(hosts []netip.Prefix) edit {
	e := edit{make(map[rule]bool), make(map[dest]bool)}
	addrs, links := splitHosts(hosts)
	gone, come := differ(p.addrs, addrs)
	p.addrs = addrs
	for _, m := range p.groups {
		affected := false
		for n, list := range map[int][]netip.Addr{-1: gone, 1: come} {
			for _, a := range list {
				if m.holds(a) {
					affected = true
					p.countOwn(e, a, n)
				}
			}
		}
		if affected {
			p.setSource(e, m)
		}
	}
	if !slices.Equal(p.links, links) {
		p.links = links
		p.updateARP(e)
	}
	p.common(e)
	return e
}

// differ returns the addresses that only one of two sorted lists has.
func differ(before, after []netip.Addr) (gone, come []netip.Addr) {
	missing := func(from []netip.Addr) func(netip.Addr) bool {
		return func(a netip.Addr) bool {
			_, ok := slices.BinarySearchFunc(from, a, compareAddrs)
			return ok
		}
	}
	return slices.DeleteFunc(slices.Clone(before), missing(after)), slices.DeleteFunc(slices.Clone(after), missing(before))
}

func compareAddrs(a, b netip.Addr) int { return a.Compare(b) }

func (m *member) holds(a netip.Addr) bool {
	return slices.ContainsFunc(m.local, func(l netip.Prefix) bool { return l.Contains(a) })
}

// concerns reports whether packets from src may be protected. An invalid src means any source.
func (p *plan) concerns(v6 bool, src netip.Prefix) bool {
	for _, m := range p.groups {
		if m.v6 == v6 && (!src.IsValid() || slices.ContainsFunc(m.local, src.Overlaps)) {
			return true
		}
	}
	return false
}

func index(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}
