package tun

import (
	"cmp"
	"net/netip"
	"slices"

	"culvert/tun/protect"
)

// setSource updates a group's source, and the routes that depend on it.
func (p *plan) setSource(e edit, m *member) {
	src, bits := m.source(p.addrs)
	if src == m.src && bits == m.srcBits {
		return
	}
	p.unsource(m)
	m.src, m.srcBits = src, bits
	if src.IsValid() {
		list := append(p.sourced[index(m.v6)], m)
		slices.SortFunc(list, func(a, b *member) int {
			return cmp.Or(cmp.Compare(b.srcBits, a.srcBits), a.src.Compare(b.src), cmp.Compare(a.id, b.id))
		})
		p.sourced[index(m.v6)] = list
	}
	for dst := range m.kinds {
		p.merge(e, m.v6, dst)
	}
}

// unsource removes a group from those with a source.
func (p *plan) unsource(m *member) {
	is := func(o *member) bool { return o == m }
	p.sourced[index(m.v6)] = slices.DeleteFunc(p.sourced[index(m.v6)], is)
}

// source returns an own address in the longest local network that has one, and the length of that
// network.
func (m *member) source(addrs []netip.Addr) (netip.Addr, int) {
	for _, l := range m.local {
		i, _ := slices.BinarySearchFunc(addrs, l.Addr(), compareAddrs)
		if i < len(addrs) && l.Contains(addrs[i]) {
			return addrs[i], l.Bits()
		}
	}
	return netip.Addr{}, 0
}

// merge updates the route to dst for packets without a source, from the groups that have a source.
// If one of them protects dst and another exempts it, it is protected.
func (p *plan) merge(e edit, v6 bool, dst netip.Prefix) {
	if dst == claimed.dst {
		return
	}
	var h hop
	found := false
	for _, m := range p.sourced[index(v6)] {
		k, ok := m.kinds[dst]
		if ok && k == protect.Protect {
			h, found = hop{src: m.src}, true
			break
		}
		if ok {
			h, found = hop{throw: true}, true
		}
	}
	old, had := p.unbound[dst]
	if found == had && h == old {
		return
	}
	e.routes[dest{0, dst}] = true
	if found {
		p.unbound[dst] = h
	} else {
		delete(p.unbound, dst)
	}
}

// restore adds the routes that prefer a as source to the edit. The kernel removes them, or their
// source, with the address, and a may have come back since.
func (p *plan) restore(e edit, a netip.Addr) {
	for dst, h := range p.unbound {
		if h.src == a {
			e.routes[dest{0, dst}] = true
		}
	}
}
