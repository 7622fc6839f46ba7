package tun

import (
	"cmp"
	"net/netip"
	"slices"

	"culvert/tun/protect"

	"golang.org/x/sys/unix"
)

// plan is the rules and routes that the kernel should hold. It follows changes of the policies and
// of the host's addresses, at a cost that does not grow with what stays as it is, and does no I/O.
//
// Tables are counted from the router's first. Table 0 is for packets of this host that have no
// source yet: its routes prefer an address of ours in the local networks of the group that protects
// the destination. The table of each group has the number of its ID. Longest prefixes decide in all
// of them. Throw routes stand for what a group leaves outside, so that LAN-to-LAN traffic goes on
// as if there were no tunnel.
type plan struct {
	ports  []uint16
	errors bool // there is a mark for ICMP errors

	groups  map[int]*member
	count   [2]int             // of groups, by family
	sourced [2][]*member       // those with an address of ours, the best source first
	addrs   []netip.Addr       // of ours, sorted
	own     map[netip.Addr]int // how many groups have the address in a local network

	passARP  bool           // rules let ARP of protected neighbours pass
	links    []netip.Prefix // the IPv4 ones of addrs with the length of their networks, sorted
	arpAddrs map[netip.Addr]bool

	rules   map[rule]bool
	unbound map[netip.Prefix]hop
}

// member is a group.
type member struct {
	id      int
	v6      bool
	local   []netip.Prefix // the longest first
	kinds   map[netip.Prefix]protect.Kind
	src     netip.Addr // ours, in the longest prefix of local that has one; invalid: none
	srcBits int
}

// hop is where a route of the plan leads: on to the next rule, or to the device.
type hop struct {
	throw bool
	src   netip.Addr // preferred; invalid: none
}

// dest is what the plan tells routes apart by.
type dest struct {
	table int
	dst   netip.Prefix
}

// edit is what of a plan changed: what it names may be wanted now, or no longer.
type edit struct {
	rules  map[rule]bool
	routes map[dest]bool
}

// claimed is a destination that no packet has. The router routes it to the device from the start,
// so that another daemon sees that the table is in use.
var claimed = dest{dst: netip.MustParsePrefix("0.0.0.0/32")}

func newPlan(ports []uint16, errors bool) *plan {
	return &plan{
		ports: ports, errors: errors, groups: make(map[int]*member), own: make(map[netip.Addr]int), arpAddrs: make(map[netip.Addr]bool),
		rules: make(map[rule]bool), unbound: map[netip.Prefix]hop{claimed.dst: {}},
	}
}

// want returns where d should lead; false: there should be no such route.
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

// drop takes a group away.
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

// common brings the rules up to date that a family has once.
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

// countOwn counts the groups that have an address of ours in a local network. Where one has,
// packets of peers may come to the address from a remote network.
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

// setAddrs follows a change of the host's addresses, which come sorted and with the length of their
// links' networks.
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

// differ returns what of two sorted lists is in one alone.
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

// concerns reports whether packets from a source may be protected; an invalid one stands for any.
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
