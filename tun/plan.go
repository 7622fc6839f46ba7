package tun

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
)

// RouteConfig says which device networks are routed to, and how the packets of the tunnels themselves are told from the rest.
type RouteConfig struct {
	Device *Device
	// Mark is the firewall mark of the tunnels' own packets, which are never routed to the device. Linux needs one.
	Mark uint32
	// Table is the first of the two routing tables that the router uses. 0: 4303, or higher if another daemon uses that. Linux only.
	Table int
	Log   *slog.Logger
}

// Net is a remote network and the local ones that may speak with it. An address range is several Nets.
type Net struct {
	Remote netip.Prefix
	Local  []netip.Prefix // of Remote's family; others are ignored
	MTU    int            // of the route; 0: the device's
}

// The rules, as offsets from a daemon's first priority, 4303 for the first. They stand before the main table's (32766), so that no route that somebody adds
// there takes protected traffic away, whatever its prefix (TunnelCrack); and after the local table's (0), so that packets to this
// host stay here.
//
//	+0  fwmark Mark       goto +9        the tunnels' own packets
//	+1  from L            lookup Table   traffic of each local network L
//	+2  from ::/1, 8000::/1  goto +9     IPv6: what has a source by now, so that the next rule is for unbound look-ups only
//	+3  from 0.0.0.0/32   lookup Table+1 traffic of this host that has no source yet (IPv6: all that comes here)
//	+9  nop                              where goto goes: on to the rules of others
const (
	ruleMark    = 0
	ruleFrom    = 1
	ruleBound   = 2
	ruleUnbound = 3
	ruleEnd     = 9
)

// rule is one policy rule of the plan.
type rule struct {
	v6  bool
	at  int          // one of the offsets
	src netip.Prefix // invalid: any
}

// routeKey is what the kernel tells routes of the plan apart by.
//
// Behind each route to the device stands a fence, a route of the same prefix with a worse metric that makes it unreachable. When the
// device goes down, or vanishes because the daemon was killed, protected traffic meets the fence and not the main table: it never
// goes out in the clear. The next start, or Close, takes the fences away.
type routeKey struct {
	unbound bool // in Table+1, whose routes carry a source; else in Table
	fence   bool
	dst     netip.Prefix
}

// routeTo is where a route of the plan leads.
type routeTo struct {
	throw bool       // on to the next rule; else to the device
	src   netip.Addr // preferred source; invalid: none
	mtu   int
}

// plan is all that the kernel should hold.
type plan struct {
	rules  map[rule]bool
	routes map[routeKey]routeTo
}

// linkScope are destinations that never leave a link, so that no remote network means them although 0.0.0.0/0 and ::/0 hold them:
// RFC 3927, RFC 5771 (224.0.0/24), RFC 919, RFC 4291.
var linkScope = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/24"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff01::/16"),
	netip.MustParsePrefix("ff02::/16"),
}

// claimed is a destination that no packet has. The router routes it to the device even without any network, so that another daemon sees
// that the table is in use.
var claimed = routeKey{dst: netip.MustParsePrefix("0.0.0.0/32")}

var (
	unboundIPv4 = netip.MustParsePrefix("0.0.0.0/32")
	boundIPv6   = []netip.Prefix{netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1")}
)

// makePlan works out the rules and routes for nets on a host with the given addresses.
func makePlan(nets []Net, addrs []netip.Addr) plan {
	p := plan{rules: make(map[rule]bool), routes: map[routeKey]routeTo{claimed: {}}}
	for _, v6 := range []bool{false, true} {
		p.addFamily(ofFamily(nets, v6), v6, addrs)
	}
	return p
}

// ofFamily is nets with the prefixes of one family only, in canonical form.
func ofFamily(nets []Net, v6 bool) []Net {
	var out []Net
	for _, n := range nets {
		if !n.Remote.IsValid() || n.Remote.Addr().Is6() != v6 {
			continue
		}
		c := Net{Remote: n.Remote.Masked(), MTU: n.MTU}
		for _, l := range n.Local {
			if l.IsValid() && l.Addr().Is6() == v6 {
				c.Local = append(c.Local, l.Masked())
			}
		}
		if len(c.Local) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func (p *plan) addFamily(nets []Net, v6 bool, addrs []netip.Addr) {
	if len(nets) == 0 {
		return
	}
	var locals []netip.Prefix
	unbound := false
	for _, n := range nets {
		locals = append(locals, n.Local...)
		p.addRoute(false, n, netip.Addr{})
		if src, ok := sourceIn(n.Local, addrs); ok {
			unbound = true
			p.addRoute(true, n, src)
		}
	}
	locals = widest(locals)
	p.addThrows(append(slices.Clone(locals), linkScope...))
	p.rules[rule{v6: v6, at: ruleMark}] = true
	p.rules[rule{v6: v6, at: ruleEnd}] = true
	for _, l := range locals {
		p.rules[rule{v6: v6, at: ruleFrom, src: l}] = true
	}
	switch {
	case !unbound:
	case v6:
		for _, b := range boundIPv6 {
			p.rules[rule{v6: v6, at: ruleBound, src: b}] = true
		}
		p.rules[rule{v6: v6, at: ruleUnbound}] = true
	default:
		p.rules[rule{v6: v6, at: ruleUnbound, src: unboundIPv4}] = true
	}
}

// addRoute leads n.Remote to the device. Of several Nets with the same remote network the first gives the source and the least the MTU.
func (p *plan) addRoute(unbound bool, n Net, src netip.Addr) {
	key := routeKey{unbound: unbound, dst: n.Remote}
	to, ok := p.routes[key]
	if !ok {
		to.src = src
	}
	if n.MTU > 0 && (to.mtu == 0 || n.MTU < to.mtu) {
		to.mtu = n.MTU
	}
	p.routes[key] = to
	p.routes[routeKey{unbound: unbound, fence: true, dst: n.Remote}] = routeTo{}
}

// addThrows keeps within, as far as it lies inside a remote network, out of the tunnel: LAN-to-LAN traffic goes on as if there were
// no tunnel. A remote network of the very same prefix wins: such traffic is protected, and a hub carries it from tunnel to tunnel.
func (p *plan) addThrows(within []netip.Prefix) {
	remotes := make([]routeKey, 0, len(p.routes))
	for k, to := range p.routes {
		if !to.throw && !k.fence {
			remotes = append(remotes, k)
		}
	}
	slices.SortFunc(remotes, func(a, b routeKey) int { return cmp.Compare(a.dst.Bits(), b.dst.Bits()) })
	for _, w := range within {
		for _, r := range remotes {
			if r.dst.Bits() >= w.Bits() {
				break
			}
			key := routeKey{unbound: r.unbound, dst: w}
			if _, taken := p.routes[key]; !taken && r.dst.Contains(w.Addr()) {
				p.routes[key] = routeTo{throw: true}
			}
		}
	}
}

// sourceIn is the host's own address inside the local networks, the most specific network first.
func sourceIn(locals []netip.Prefix, addrs []netip.Addr) (netip.Addr, bool) {
	locals = slices.Clone(locals)
	slices.SortStableFunc(locals, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	for _, l := range locals {
		for _, a := range addrs {
			if l.Contains(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// widest is ps without repetitions and without what lies inside another: every rule costs every packet of the host a comparison.
func widest(ps []netip.Prefix) []netip.Prefix {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	var out []netip.Prefix
	for _, p := range ps {
		if !slices.ContainsFunc(out, func(o netip.Prefix) bool { return o.Overlaps(p) }) {
			out = append(out, p)
		}
	}
	return out
}
