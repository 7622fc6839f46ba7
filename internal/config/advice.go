package config

import (
	"fmt"
	"net/netip"
	"slices"

	"culvert/internal/host"
	"culvert/selector"
)

// A place is the file of a peer, with the lines of some of its keys and of its children's keys.
type place struct {
	file                  string
	remote, cert, ca, crl int // the lines
	children              []childPlace
}

type childPlace struct{ local, remote int }

func (l *loader) notePlaces() {
	l.config.places = make([]place, len(l.peers))
	for i, raw := range l.peers {
		p := place{file: raw.file.name, remote: raw.line("remote"), cert: raw.line("cert"), ca: raw.line("ca"), crl: raw.line("crl")}
		for _, c := range raw.children {
			p.children = append(p.children, childPlace{c.line("local"), c.line("remote")})
		}
		l.config.places[i] = p
	}
}

// placeOf returns where a peer stands; a configuration that was not loaded has no places.
func (c *Config) placeOf(peer int) place {
	if peer < len(c.places) {
		return c.places[peer]
	}
	return place{}
}

// An adviser compares a configuration with a host.
type adviser struct {
	*Config
	host     *host.View
	children []advised
	out      []error
}

// An advised is a child in the comparison.
type advised struct {
	peer, index    int
	local, remote  []netip.Prefix
	routed, bypass []netip.Prefix // routed: remote networks with a route to the device
}

// Advise returns warnings, each an *Error with the remedy, about settings that are valid but cannot
// work on the host h, or work differently from what operators may expect.
func (c *Config) Advise(h *host.View) []error {
	a := &adviser{Config: c, host: h}
	for i := range c.Peers {
		a.add(i)
	}
	a.attached()
	a.nested()
	a.unreached()
	a.masqueraded()
	return a.out
}

func (a *adviser) add(peer int) {
	p := &a.Peers[peer]
	for i, name := range p.Order {
		local, remote := p.selectorsOf(name)
		r := p.RoutingOf(name)
		c := advised{peer: peer, index: i, local: networksOf(local), remote: networksOf(remote), bypass: r.Bypass}
		switch r.Routes {
		case RoutesAuto:
			c.routed = c.remote
		case RoutesListed:
			c.routed = r.To
		}
		a.children = append(a.children, c)
	}
}

// selectorsOf returns the selectors of the child with a name.
func (p *Peer) selectorsOf(child string) (local, remote []selector.Selector) {
	for i := range p.Children {
		if p.Children[i].Name == child {
			return p.Children[i].Local, p.Children[i].Remote
		}
	}
	for i := range p.Manual {
		if p.Manual[i].Name == child {
			return p.Manual[i].Local, p.Manual[i].Remote
		}
	}
	return nil, nil
}

func networksOf(list []selector.Selector) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, s.Prefixes()...)
	}
	return out
}

// warn adds a warning about a child; line chooses the line of its place.
func (a *adviser) warn(c *advised, line func(childPlace) int, format string, args ...any) {
	p, at := &a.Peers[c.peer], a.places[c.peer]
	text := fmt.Sprintf("peer %q: child %q: ", p.Name, p.Order[c.index]) + fmt.Sprintf(format, args...)
	a.out = append(a.out, &Error{File: at.file, Line: line(at.children[c.index]), Text: text})
}

func localLine(p childPlace) int  { return p.local }
func remoteLine(p childPlace) int { return p.remote }

// holding returns the first network of list that contains p, and true. It skips 0.0.0.0/0 and ::/0.
func holding(list []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	i := slices.IndexFunc(list, func(l netip.Prefix) bool { return l.Bits() > 0 && l.Bits() <= p.Bits() && l.Contains(p.Addr()) })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return list[i], true
}

// isLocal reports whether a local network of any child overlaps p.
func (a *adviser) isLocal(p netip.Prefix) bool {
	return slices.ContainsFunc(a.children, func(c advised) bool { return slices.ContainsFunc(c.local, p.Overlaps) })
}

// attached warns of networks attached to this host that lie in a routed remote network.
func (a *adviser) attached() {
	for _, n := range a.host.Attached(a.Daemon.TUN) {
		if _, out := holding(a.Daemon.Bypass, n.Network); out || a.isLocal(n.Network) {
			continue
		}
		for i := range a.children {
			c := &a.children[i]
			remote, in := holding(c.routed, n.Network)
			if _, out := holding(c.bypass, n.Network); !in || out {
				continue
			}
			a.warn(c, remoteLine, "remote %s contains %s, a network attached to this host (%s): packets for it go to the peer, so the local networks cannot reach its hosts; if this is not intended, add bypass = [%q]",
				remote, n.Network, n.Link, n.Network)
			break
		}
	}
}

// nested warns of peers whose addresses lie in a remote network of another peer.
func (a *adviser) nested() {
	owners := make(map[netip.Prefix][]*advised)
	for i := range a.children {
		for _, p := range a.children[i].routed {
			if p.Bits() > 0 { // a full tunnel means the rest
				owners[p] = append(owners[p], &a.children[i])
			}
		}
	}
	for i := range a.Peers {
		for _, addr := range a.Peers[i].Remote {
			if p, c := outermost(owners, addr, i); c != nil {
				other := a.Peers[c.peer].Name
				a.out = append(a.out, &Error{File: a.places[i].file, Line: a.places[i].remote, Text: fmt.Sprintf(
					"peer %q: remote = %s lies in %s, a remote network of peer %q: IKE and ESP are never sent through another tunnel; make %s reachable outside the tunnels, or give the peer an address that is",
					a.Peers[i].Name, addr, p, other, addr)})
			}
		}
	}
}

// outermost finds a child of a peer other than self with a network that holds addr.
func outermost(owners map[netip.Prefix][]*advised, addr netip.Addr, self int) (netip.Prefix, *advised) {
	for bits := 1; bits <= addr.BitLen(); bits++ {
		p, _ := addr.Prefix(bits)
		for _, c := range owners[p] {
			if c.peer != self {
				return p, c
			}
		}
	}
	return netip.Prefix{}, nil
}

// maxAdvised is the greatest number of local networks whose routes are looked up.
const maxAdvised = 256

// unreached warns of local networks to which this host has neither an address nor a route.
func (a *adviser) unreached() {
	seen := make(map[netip.Prefix]bool)
	for i := range a.children {
		c := &a.children[i]
		for _, p := range c.local {
			if p.Bits() == 0 || seen[p] || len(seen) == maxAdvised {
				continue
			}
			seen[p] = true
			if !a.host.Reaches(p) {
				a.warn(c, localLine, "local %s: this host has no address in it and no route to it except the default route, by which packets from the tunnel would leave unprotected; correct local, or add the address or the route", p)
			}
		}
	}
}

// masqueraded warns of bridges of this host, such as those of containers and virtual machines,
// whose networks are not local networks of a child that is for this host alone.
func (a *adviser) masqueraded() {
	for _, n := range a.host.Attached(a.Daemon.TUN) {
		forwards := a.host.Forward4 && n.Network.Addr().Is4() || a.host.Forward6 && n.Network.Addr().Is6()
		if !n.Bridge || !forwards || slices.Contains(a.host.Default, n.Link) || a.isLocal(n.Network) {
			continue
		}
		for i := range a.children {
			c := &a.children[i]
			at := slices.IndexFunc(c.routed, func(r netip.Prefix) bool { return r.Addr().Is6() == n.Network.Addr().Is6() })
			if at < 0 || !a.ownAddresses(c.local) {
				continue
			}
			a.warn(c, localLine, "local contains only this host and not %s (%s): if its hosts are masqueraded to this host's address, their packets to %s were routed before the translation, so no SA protects them and the guard drops them; add %s to local here and to remote at the peer, or exclude traffic for the peer from masquerading",
				n.Network, n.Link, c.routed[at], n.Network)
			break
		}
	}
}

// ownAddresses reports whether all of list are addresses of this host.
func (a *adviser) ownAddresses(list []netip.Prefix) bool {
	return !slices.ContainsFunc(list, func(p netip.Prefix) bool { return !p.IsSingleIP() || !a.host.Has(p.Addr()) })
}
