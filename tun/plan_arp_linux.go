package tun

import (
	"maps"
	"net/netip"
	"slices"

	"culvert/tun/protect"

	"golang.org/x/sys/unix"
)

// A protected neighbour, which is a peer on the same link with its outer address in the selectors,
// asks for our address by ARP. With rp_filter = 1 the kernel answers only if a packet to the
// neighbour would leave by that link, but the policy's route leads to the device. The look-up for
// ARP has no IP protocol. Rules cannot match that, and so they match a list of protocols for the
// look-up in the tables, and everything else skips the tables. The guard drops protected packets of
// other protocols.

// carriedFromNeighbours holds the IP protocols that a tunnel between neighbours carries.
var carriedFromNeighbours = []uint8{
	unix.IPPROTO_ICMP, unix.IPPROTO_IGMP, unix.IPPROTO_IPIP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_DCCP, unix.IPPROTO_IPV6,
	unix.IPPROTO_RSVP, unix.IPPROTO_GRE, unix.IPPROTO_AH, 88 /* EIGRP */, 89 /* OSPF */, unix.IPPROTO_PIM, 112 /* VRRP */, unix.IPPROTO_L2TP,
	unix.IPPROTO_SCTP, unix.IPPROTO_UDPLITE, unix.IPPROTO_MPLS, unix.IPPROTO_RAW,
}

// splitHosts returns the sorted addresses, and the IPv4 ones whose network has other addresses.
func splitHosts(hosts []netip.Prefix) (addrs []netip.Addr, links []netip.Prefix) {
	for _, h := range hosts {
		addrs = append(addrs, h.Addr())
		if h.Addr().Is4() && !h.IsSingleIP() {
			links = append(links, h)
		}
	}
	slices.SortFunc(addrs, compareAddrs)
	return slices.Compact(addrs), links
}

// affectsNeighbours reports whether a change may affect which neighbours are protected.
func (p *plan) affectsNeighbours(c protect.Change) bool {
	overlaps := func(dst netip.Prefix) bool {
		return slices.ContainsFunc(p.links, func(l netip.Prefix) bool { return l.Overlaps(dst) })
	}
	for _, g := range c.Groups {
		if g.New || g.Gone || slices.ContainsFunc(g.Unset, overlaps) {
			return true
		}
		for dst := range g.Set {
			if overlaps(dst) {
				return true
			}
		}
	}
	return false
}

// updateARP updates the rules that let ARP of protected neighbours pass.
func (p *plan) updateARP(e edit) {
	want := make(map[netip.Addr]bool)
	for _, l := range p.links {
		if p.passARP && !want[l.Addr()] && p.protectsNeighbour(l) {
			want[l.Addr()] = true
		}
	}
	for a := range p.arpAddrs {
		if !want[a] {
			p.setARPRules(e, a, false)
		}
	}
	for a := range want {
		p.setARPRules(e, a, true)
	}
	p.arpAddrs = maps.Clone(want)
}

func (p *plan) setARPRules(e edit, a netip.Addr, on bool) {
	src := netip.PrefixFrom(a, a.BitLen())
	for _, proto := range carriedFromNeighbours {
		p.setRule(e, rule{at: ruleARPProtocol, src: src, proto: proto}, on)
	}
	p.setRule(e, rule{at: ruleARPRest, src: src}, on)
}

// protectsNeighbour reports whether any group protects packets from an own address to its link's
// network.
func (p *plan) protectsNeighbour(l netip.Prefix) bool {
	for _, m := range p.groups {
		if !m.v6 && m.holds(l.Addr()) && m.protectsIn(l.Masked()) {
			return true
		}
	}
	return false
}

// protectsIn reports whether the group protects any destination in a network.
func (m *member) protectsIn(network netip.Prefix) bool {
	for bits := network.Bits(); bits >= 0; bits-- {
		around, _ := network.Addr().Prefix(bits)
		if k, ok := m.kinds[around]; ok {
			if k == protect.Protect {
				return true
			}
			break
		}
	}
	for dst, k := range m.kinds {
		if k == protect.Protect && dst.Bits() > network.Bits() && network.Contains(dst.Addr()) {
			return true
		}
	}
	return false
}
