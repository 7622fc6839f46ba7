package daemon

import (
	"net/netip"
	"slices"

	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/protect"
)

// protectedBy returns the flows between networks that the policies of configured children protect
// and culvert routes to the device, and the policies without such routes.
func protectedBy(c *config.Config, policies []ipsec.Policy) (set []protect.Policy, none []protect.ID) {
	for i := range policies {
		p := &policies[i]
		id, r := protect.ID(p.ID), c.Peer(p.Name.Peer).RoutingOf(p.Name.Child)
		policy := protect.Policy{ID: id, Name: p.Name.String(), Local: networks(p.Local), Bypass: r.Bypass}
		switch r.Routes {
		case config.RoutesNone:
			none = append(none, id)
			continue
		case config.RoutesListed:
			policy.Remote = r.To
		default:
			policy.Remote = without(p.Remote, slices.Concat(r.Bypass, c.Daemon.Bypass))
		}
		set = append(set, policy)
	}
	return set, none
}

// networks returns the addresses of selectors, without their ports.
func networks(list []selector.Selector) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, s.Prefixes()...)
	}
	return out
}

// without returns the addresses of selectors, except the bypassed parts of ranges. A network wins
// over a bypass of the same prefix, but nobody configured a part of a range as a network.
func without(list []selector.Selector, bypass []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, ok := s.Prefix(); ok {
			out = append(out, p)
			continue
		}
		for _, p := range s.Prefixes() {
			if !slices.ContainsFunc(bypass, func(b netip.Prefix) bool { return b.Bits() <= p.Bits() && b.Contains(p.Addr()) }) {
				out = append(out, p)
			}
		}
	}
	return out
}

func selectorsOf(list []netip.Prefix) []selector.Selector {
	var out []selector.Selector
	for _, p := range list {
		out = append(out, selector.FromPrefix(p))
	}
	return out
}
