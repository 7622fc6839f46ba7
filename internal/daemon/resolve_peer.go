package daemon

import (
	"context"
	"slices"

	"culvert/ike"
	"culvert/internal/config"
)

// findPeer waits until a peer's name was looked up, if that was not yet. A peer that we do not find may have found us.
func (d *Daemon) findPeer(ctx context.Context, p *config.Peer) error {
	if d.unresolved(p) == "" {
		return nil
	}
	select {
	case <-d.resolver.want(p.Name, p.RemoteName):
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
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

// unresolved says why a peer's name has no addresses yet, or "" if it has, or needs none.
func (d *Daemon) unresolved(p *config.Peer) string {
	d.mu.Lock()
	l := d.found[p.Name]
	d.mu.Unlock()
	switch {
	case p.RemoteName == "" || l.name == p.RemoteName && len(l.addrs) > 0:
		return ""
	case l.name == p.RemoteName && l.err != nil:
		return l.err.Error() + "; it is asked for again and again"
	}
	return p.RemoteName + " is being looked up"
}
