package daemon

import (
	"fmt"
	"net/netip"
	"slices"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/selector"
)

// enginePeer returns a peer for the engine, with the addresses of its name; ok is false for a peer
// without IKE. A peer whose name is not resolved yet has no address: it can initiate to us, and we
// initiate once there is an address. Without IP protocol 50, "auto" means "always".
func (d *Daemon) enginePeer(c *config.Config, p *config.Peer) (e ike.Peer, ok bool) {
	if len(p.Children) == 0 {
		return ike.Peer{}, false
	}
	e = p.Peer
	e.Certificates = d.watched(c, p)
	d.mu.Lock()
	e.Remote = remotes(c, p, d.found)
	d.mu.Unlock()
	if e.Encap == ike.EncapAuto && !d.net.RawESP() {
		e.Encap = ike.EncapAlways
	}
	return e, true
}

// remotes returns the known addresses of a peer that we can send to.
func remotes(c *config.Config, p *config.Peer, found map[string]lookup) []netip.Addr {
	l, ok := found[p.Name]
	if p.RemoteName == "" || !ok || l.name != p.RemoteName {
		return p.Remote
	}
	return usable(c, p, l.addrs)
}

// usable removes the addresses of a family that we cannot send from.
func usable(c *config.Config, p *config.Peer, addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		if p.Local.IsValid() {
			return p.Local.BitLen() != a.BitLen()
		}
		return !slices.ContainsFunc(c.Daemon.Listen, func(l netip.Addr) bool { return l.BitLen() == a.BitLen() })
	})
}

// each calls f for every child of every peer, negotiated or manual, in the order of the files.
func each(c *config.Config, f func(p *config.Peer, name string, local, remote []selector.Selector)) {
	for i := range c.Peers {
		eachChild(&c.Peers[i], f)
	}
}

func eachChild(p *config.Peer, f func(p *config.Peer, name string, local, remote []selector.Selector)) {
	for _, name := range p.Order {
		if ch := childNamed(p, name); ch != nil {
			f(p, name, ch.Local, ch.Remote)
		}
		if m := manualNamed(p, name); m != nil {
			f(p, name, m.Local, m.Remote)
		}
	}
}

func childNamed(p *config.Peer, name string) *ike.Child {
	if i := slices.IndexFunc(p.Children, func(c ike.Child) bool { return c.Name == name }); i >= 0 {
		return &p.Children[i]
	}
	return nil
}

func manualNamed(p *config.Peer, name string) *config.Manual {
	if i := slices.IndexFunc(p.Manual, func(m config.Manual) bool { return m.Name == name }); i >= 0 {
		return &p.Manual[i]
	}
	return nil
}

// checkEncap refuses peers that the open sockets cannot reach.
func (d *Daemon) checkEncap(c *config.Config) error {
	for i := range c.Peers {
		if c.Peers[i].Encap == ike.EncapNever && !d.net.RawESP() {
			return fmt.Errorf("peer %q has encap = \"never\", but there is no socket for IP protocol 50: restart the daemon if the system has one, or set encap = \"always\"", c.Peers[i].Name)
		}
	}
	return nil
}
