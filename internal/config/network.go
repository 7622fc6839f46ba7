package config

import (
	"net/netip"
	"slices"
	"strings"

	"culvert/selector"
)

// maxNetworks bounds the lists of networks that are not selectors.
const maxNetworks = 4096

// A network is an element of a list, with the key of its line.
type network struct {
	netip.Prefix
	at string
}

func prefixesOf(list []network) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range list {
		out = append(out, n.Prefix)
	}
	return out
}

// networks reads a list of networks, addresses and ranges. A range becomes several networks.
func (s section) networks(name string) []network {
	var out []network
	seen := make(map[netip.Prefix]bool)
	list := s.list(name)
	if len(list) > maxNetworks {
		s.fail(name, "%s has %d networks; use at most %d", name, len(list), maxNetworks)
		return nil
	}
	for _, e := range list {
		sel, err := selector.ParseSelector(e.text)
		switch {
		case err != nil:
			s.fail(e.at, "%s: %s", name, strings.Replace(err.Error(), "selector", "network", 1))
		case sel.Protocol != 0 || !sel.AnyPorts():
			s.fail(e.at, "%s: %s: this key takes addresses only; omit the protocol and ports", name, sel)
		default:
			for _, p := range sel.Prefixes() {
				if seen[p] {
					s.fail(e.at, "%s: %s is listed twice; remove one", name, p)
					break
				}
				seen[p] = true
				out = append(out, network{p, e.at})
			}
		}
	}
	return out
}

// A coverage answers which networks lie within a set of remote selectors.
type coverage struct {
	remote []selector.Selector
	// prefixes are those of the selectors; true: all of one. A network that is false here is only
	// a part of a selector that is a range.
	prefixes map[netip.Prefix]bool
}

func (c *coverage) add(remote []selector.Selector) {
	if c.prefixes == nil {
		c.prefixes = make(map[netip.Prefix]bool)
	}
	c.remote = append(c.remote, remote...)
	for _, r := range remote {
		prefixes := r.Prefixes()
		for _, p := range prefixes {
			c.prefixes[p] = c.prefixes[p] || len(prefixes) == 1
		}
	}
}

// holds reports whether p lies within a selector, and whether it is the whole of one.
func (c *coverage) holds(p netip.Prefix) (within, whole bool) {
	if one, ok := c.prefixes[p]; ok {
		return true, one
	}
	for bits := p.Bits() - 1; bits >= 0; bits-- {
		wider, _ := p.Addr().Prefix(bits)
		if _, ok := c.prefixes[wider]; ok {
			return true, false
		}
	}
	return false, false
}

// spans reports whether p holds a whole selector.
func (c *coverage) spans(p netip.Prefix) bool {
	return slices.ContainsFunc(c.remote, func(s selector.Selector) bool { return p.Contains(s.Start) && p.Contains(s.End) })
}

// checkBypass refuses networks of bypass that lie in no remote network or cover a whole one. The
// text whose qualifies the remote networks of c, for errors.
func (s section) checkBypass(bypass []network, c *coverage, whose string) {
	for _, b := range bypass {
		switch within, whole := c.holds(b.Prefix); {
		case whole || !within && c.spans(b.Prefix):
			s.fail(b.at, "bypass: %s covers the whole of a remote network%s; remove that network from remote instead, or bypass only a part of it", b.Prefix, whose)
		case !within:
			s.fail(b.at, "bypass: %s lies in no remote network%s and is outside the tunnels in any case; correct or remove it", b.Prefix, whose)
		}
	}
}

// neverCarried are the addresses that the packet path never carries: link-local traffic of hosts.
var neverCarried = []struct {
	kind  string
	group selector.Selector
}{
	{"multicast", selector.FromPrefix(netip.MustParsePrefix("224.0.0.0/4"))},
	{"multicast", selector.FromPrefix(netip.MustParsePrefix("ff00::/8"))},
	{"IPv6 link-local", selector.FromPrefix(netip.MustParsePrefix("fe80::/10"))},
	{"broadcast", selector.FromAddr(netip.AddrFrom4([4]byte{255, 255, 255, 255}))},
	{"unspecified", selector.FromAddr(netip.IPv4Unspecified())},
	{"unspecified", selector.FromAddr(netip.IPv6Unspecified())},
}

// notCarried returns the kind of the addresses of a selector if tunnels do not carry them, or not
// the first ones. A selector such as 0.0.0.0/0 may hold them beside others.
func notCarried(sel selector.Selector) string {
	for _, n := range neverCarried {
		one := n.group.Start == n.group.End
		if n.group.Contains(sel.Start) && (!one || sel.End == sel.Start) {
			return n.kind
		}
	}
	return ""
}
