package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/protect"
)

// enginePeer is a peer as the engine is told of it, with the addresses that its name stands for; ok is false for a peer that does not speak IKE. A name that is not
// resolved yet is a peer without an address: it can call us, and is called as soon as there is one. Where the system has no protocol 50, "auto" is "always".
func (d *Daemon) enginePeer(c *config.Config, p *config.Peer) (e ike.Peer, ok bool) {
	if len(p.Children) == 0 {
		return ike.Peer{}, false
	}
	e = p.Peer
	d.mu.Lock()
	e.Remote = remotes(c, p, d.found)
	d.mu.Unlock()
	if e.Encap == ike.EncapAuto && !d.net.RawESP() {
		e.Encap = ike.EncapAlways
	}
	return e, true
}

// remotes are a peer's addresses, as far as they are known and can be reached from ours.
func remotes(c *config.Config, p *config.Peer, found map[string]lookup) []netip.Addr {
	l, ok := found[p.Name]
	if p.RemoteName == "" || !ok || l.name != p.RemoteName {
		return p.Remote
	}
	return usable(c, p, l.addrs)
}

// usable leaves out the addresses of a family that we cannot send from.
func usable(c *config.Config, p *config.Peer, addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		if p.Local.IsValid() {
			return p.Local.BitLen() != a.BitLen()
		}
		return !slices.ContainsFunc(c.Daemon.Listen, func(l netip.Addr) bool { return l.BitLen() == a.BitLen() })
	})
}

// each calls f for every child of every peer, IKE's and manual, in the order of the files.
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

func peerNames(c *config.Config) []string {
	var names []string
	for i := range c.Peers {
		names = append(names, c.Peers[i].Name)
	}
	return names
}

// checkEncap refuses peers that the sockets which are open cannot reach.
func (d *Daemon) checkEncap(c *config.Config) error {
	for i := range c.Peers {
		if c.Peers[i].Encap == ike.EncapNever && !d.net.RawESP() {
			return fmt.Errorf("peer %q has encap = \"never\", but IP protocol 50 is not open here: where the system has it, start the daemon again, else write encap = \"always\"", c.Peers[i].Name)
		}
	}
	return nil
}

// apply makes a configuration the one in force: what is protected and routed first, so that nothing of a new peer can leave in the clear, then the peers.
// d.applying is held.
func (d *Daemon) apply(ctx context.Context, c *config.Config) error {
	if err := d.checkEncap(c); err != nil {
		return err
	}
	diff := compare(d.inForce, c)
	d.inForce = nil // until all of it is
	if err := diff.applyTo(d.plane); err != nil {
		return err
	}
	diff.applyToBypasses(d.plane)
	if err := d.protect(diff); err != nil {
		return err
	}
	d.mu.Lock()
	d.cfg = c
	for name, l := range d.found {
		if p := c.Peer(name); p == nil || p.RemoteName != l.name {
			delete(d.found, name)
		}
	}
	d.mu.Unlock()
	d.resolver.forget(func(peer, name string) bool {
		p := c.Peer(peer)
		return p != nil && p.RemoteName == name
	})
	for i := range c.Peers {
		d.lookUp(&c.Peers[i], false)
	}
	d.setManual(c)
	if err := d.tellEngine(ctx, diff); err != nil {
		return err
	}
	d.inForce = c
	return nil
}

// protect has the kernel hold the protected flows, and lead them to the device.
func (d *Daemon) protect(diff difference) error {
	exempt, err := d.exempt(diff.next)
	if err != nil {
		return err
	}
	d.opened = d.flows.Opened(exempt)
	change := diff.applyToFlows(d.flows)
	d.opened = append(d.opened, d.flows.Opened(change)...)
	return d.follow(diff.next, change)
}

// follow tells the kernel of a change of the flows, the guard first: no packet leaves before its
// route is there. What the kernel refuses of the routes in part the router tries again. d.applying
// is held.
func (d *Daemon) follow(c *config.Config, change protect.Change) error {
	if err := d.guard.apply(change, d.flows.Whole); err != nil {
		return err
	}
	if err := d.guard.attribute(d.flows, c); err != nil {
		d.log.Warn("the guard does not count by child", "event", "guard-not-counting", "error", err)
	}
	err := d.routes.Apply(change)
	var part *tun.Incomplete
	if errors.As(err, &part) {
		d.log.Warn(err.Error(), "event", "routes-incomplete")
		return nil
	}
	return err
}

// lookUp has a peer's name looked up if it was not yet, or, with again, anyhow.
func (d *Daemon) lookUp(p *config.Peer, again bool) <-chan struct{} {
	d.mu.Lock()
	_, known := d.found[p.Name]
	d.mu.Unlock()
	if p.RemoteName == "" || known && !again {
		return nil
	}
	return d.resolver.want(p.Name, p.RemoteName)
}

// resolveAgain is the engine's wish: a round of tries to reach the peer failed. It does not block.
func (d *Daemon) resolveAgain(peer string) {
	if p := d.config().Peer(peer); p != nil {
		d.lookUp(p, true)
	}
}

// resolved takes what a name stands for into force, if that is news.
func (d *Daemon) resolved(peer string, l lookup) {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.mu.Lock()
	c := d.cfg
	p := c.Peer(peer)
	if p == nil || p.RemoteName != l.name {
		d.mu.Unlock()
		return
	}
	old := d.found[peer]
	if l.err != nil {
		l.addrs = old.addrs // better than none
	}
	d.found[peer] = l
	d.mu.Unlock()
	if l.err != nil {
		d.exemptResolver(c)
		d.log.Warn("name not resolved", "event", "resolve-failed", "peer", peer, "name", l.name, "error", l.err)
		return
	}
	if slices.Equal(usable(c, p, old.addrs), usable(c, p, l.addrs)) {
		return
	}
	d.log.Info("name resolved", "event", "resolved", "peer", peer, "name", l.name, "addresses", l.addrs)
	if len(p.Manual) > 0 {
		d.setManual(c)
	}
	e, ok := d.enginePeer(c, p)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(d.resolver.ctx, lookupTimeout)
	defer cancel()
	if err := d.ike.ChangePeers(ctx, ike.ChangePeers{Set: []ike.Peer{e}}); err != nil {
		d.inForce = nil // the next reload tells the engine everything
		d.log.Warn("new address not taken into force", "event", "resolve-failed", "peer", peer, "error", err)
	}
}
