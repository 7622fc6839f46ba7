package config

import (
	"net/netip"
	"slices"

	"culvert/selector"
)

// routing reads bypass and routes of a child with these remote selectors.
func (s section) routing(remote []selector.Selector) Routing {
	bypass := s.networks("bypass")
	r := Routing{Bypass: prefixesOf(bypass)}
	var c coverage
	c.add(remote)
	if len(remote) > 0 {
		s.checkBypass(bypass, &c, " of this child")
	}
	switch s.values["routes"].(type) {
	case nil:
	case string:
		r.Routes = []RouteMode{RoutesAuto, RoutesNone}[s.word("routes", "auto", "none")]
		if r.Routes == RoutesNone && len(r.Bypass) > 0 {
			s.fail("bypass", "bypass has no effect with routes = \"none\", which routes nothing into the tunnel; remove one of them")
		}
	default:
		to := s.networks("routes")
		r.Routes, r.To = RoutesListed, prefixesOf(to)
		s.checkRoutes(to, r.Bypass, &c)
	}
	return r
}

// checkRoutes refuses routes that lie in no remote network or are also in bypass.
func (s section) checkRoutes(to []network, bypass []netip.Prefix, c *coverage) {
	if len(s.list("routes")) == 0 {
		s.fail("routes", "routes is empty; use routes = \"none\" to route nothing, or omit it to route all remote networks")
	}
	for _, n := range to {
		if within, _ := c.holds(n.Prefix); !within && len(c.remote) > 0 {
			s.fail(n.at, "routes: %s is not within a remote network of this child, so its SA cannot carry it; add it to remote, or remove it here", n.Prefix)
		}
		if slices.Contains(bypass, n.Prefix) {
			s.fail(n.at, "routes: %s is also listed in bypass; remove it from one of them", n.Prefix)
		}
	}
}

// checkDaemonBypass checks [daemon] bypass against the remote networks of all children.
func (l *loader) checkDaemonBypass() {
	bypass := l.bypass
	if len(bypass) == 0 {
		return
	}
	var c coverage
	for i := range l.config.Peers {
		p := &l.config.Peers[i]
		for _, ch := range p.Children {
			c.add(ch.Remote)
		}
		for _, m := range p.Manual {
			c.add(m.Remote)
		}
	}
	l.top.checkBypass(bypass, &c, "")
}
