package config

import (
	"net/netip"

	"culvert/ike"
	"culvert/selector"
)

// Transport mode protects the packets between this host and the peer themselves (RFC 4301, Section
// 4.1): each side of such a child has one address, that of the IKE SA.

// hosts reads local and remote of a child in transport mode. They default to the peer's local and
// remote.
func (s section) hosts(p *Peer, c *ike.Child) {
	var remote netip.Addr
	if len(p.Remote) > 0 {
		remote = p.Remote[0]
	}
	c.Local, c.Remote = s.host("local", p.Local), s.host("remote", remote)
	if s.has("children") && s.text("children", "") == "per-pair" {
		s.fail("children", "children = \"per-pair\" has no effect in transport mode, which has one pair of addresses; omit it")
	}
}

// host reads the selectors of one side of a child in transport mode, outer being the peer's address
// of that side, if it is known.
func (s section) host(name string, outer netip.Addr) []selector.Selector {
	whose := map[string]string{"local": "this host's address", "remote": "the peer's address"}[name]
	if !s.has(name) {
		if !outer.IsValid() {
			s.fail("mode", "mode = \"transport\" needs %s; set %s in the peer to it, or %s = [\"192.0.2.1\"] here", whose, name, name)
			return nil
		}
		return []selector.Selector{selector.FromAddr(outer)}
	}
	list := s.selectors(name)
	a, ok := selector.Host(list)
	switch {
	case len(list) == 0:
	case !ok:
		s.fail(name, "%s names more than one address, and mode = \"transport\" protects the two gateways themselves; give %s alone, such as %s = [\"192.0.2.1 udp/1701\"], or use mode = \"tunnel\" for networks", name, whose, name)
	case outer.IsValid() && a != outer:
		s.fail(name, "%s = %s is not %s, which is %s; give that, or use mode = \"tunnel\"", name, a, whose, outer)
	}
	return list
}

// checkHosts refuses transport mode for a peer with many parties, which cannot all have one
// address.
func (s rawPeer) checkHosts(p *Peer) {
	if !p.Parties {
		return
	}
	for i := range p.Children {
		if p.Children[i].Mode == ike.ModeTransport {
			s.fail("remote_id", "a pattern as remote_id lets in many peers, and mode = \"transport\" of child %q is between two hosts; give the identity of one peer, or set remote", p.Children[i].Name)
		}
	}
}
