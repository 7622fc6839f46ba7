package tun

import (
	"cmp"
	"net/netip"
	"slices"

	"culvert/tun/protect"
)

// setSource brings a group's source up to date, and what hangs on it.
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

func (p *plan) unsource(m *member) {
	is := func(o *member) bool { return o == m }
	p.sourced[index(m.v6)] = slices.DeleteFunc(p.sourced[index(m.v6)], is)
}

// source is the host's own address inside the local networks, the most specific network first.
func (m *member) source(addrs []netip.Addr) (netip.Addr, int) {
	for _, l := range m.local {
		i, _ := slices.BinarySearchFunc(addrs, l.Addr(), compareAddrs)
		if i < len(addrs) && l.Contains(addrs[i]) {
			return addrs[i], l.Bits()
		}
	}
	return netip.Addr{}, 0
}

// merge works out the route for dst of packets without a source from the groups that have one to
// offer. What one of them leaves outside with the same prefix as another protects, the latter has.
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

// restore names the routes that prefer a as source: the kernel drops them, or their source, with
// the address, and a may have come back since.
func (p *plan) restore(e edit, a netip.Addr) {
	for dst, h := range p.unbound {
		if h.src == a {
			e.routes[dest{0, dst}] = true
		}
	}
}
