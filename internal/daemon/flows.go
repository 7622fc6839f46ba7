package daemon

import (
	"net/netip"
	"slices"

	"culvert/dataplane"
	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/protect"
)

// protectedBy returns the flows between networks that a peer's children protect and culvert routes
// to the device, and the children without such routes. all is the bypass of every child.
func protectedBy(p *config.Peer, all []netip.Prefix) (set []protect.Policy, none []protect.ID) {
	eachChild(p, func(p *config.Peer, name string, local, remote []selector.Selector) {
		id, r := protect.ID{Peer: p.Name, Child: name}, p.RoutingOf(name)
		policy := protect.Policy{ID: id, Local: networks(local), Bypass: r.Bypass}
		switch r.Routes {
		case config.RoutesNone:
			none = append(none, id)
			return
		case config.RoutesListed:
			policy.Remote = r.To
		default:
			policy.Remote = without(remote, slices.Concat(r.Bypass, all))
		}
		set = append(set, policy)
	})
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

// forAll names the bypass of [daemon] in the packet path.
var forAll ipsec.Policy

// bypassesOf returns the bypasses of a peer's children for the packet path, and the children
// without any.
func bypassesOf(p *config.Peer) (set []dataplane.PolicyConfig, none []ipsec.Policy) {
	eachChild(p, func(p *config.Peer, name string, local, _ []selector.Selector) {
		policy := ipsec.Policy{Peer: p.Name, Child: name}
		if b := p.RoutingOf(name).Bypass; len(b) > 0 {
			set = append(set, dataplane.PolicyConfig{Policy: policy, Local: local, Remote: selectorsOf(b)})
			return
		}
		none = append(none, policy)
	})
	return set, none
}

func selectorsOf(list []netip.Prefix) []selector.Selector {
	var out []selector.Selector
	for _, p := range list {
		out = append(out, selector.FromPrefix(p))
	}
	return out
}

// applyToBypasses tells the packet path of the changed bypasses.
func (d *difference) applyToBypasses(plane packetPath) {
	var set []dataplane.PolicyConfig
	gone := slices.Clone(d.policies)
	for _, p := range d.set {
		some, none := bypassesOf(p)
		set, gone = append(set, some...), append(gone, none...)
	}
	if d.whole {
		if all := d.next.Daemon.Bypass; len(all) > 0 {
			set = append(set, dataplane.PolicyConfig{
				Policy: forAll, Local: []selector.Selector{selector.All(false), selector.All(true)}, Remote: selectorsOf(all),
			})
		}
		plane.SetBypasses(set)
		return
	}
	plane.ChangeBypasses(set, gone)
}
