package daemon

import (
	"context"
	"errors"
	"slices"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/ipsec"
)

// findPeer waits for the first lookup of a peer's name. Even if it fails, the peer may have reached
// us.
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

// lookUp starts the lookup of a peer's name if there was none yet, or, with again, in any case.
func (d *Daemon) lookUp(p *config.Peer, again bool) <-chan struct{} {
	d.mu.Lock()
	_, known := d.found[p.Name]
	d.mu.Unlock()
	if p.RemoteName == "" || known && !again {
		return nil
	}
	return d.resolver.want(p.Name, p.RemoteName)
}

// resolveAgain looks a peer's name up again after the engine could not reach it. It does not block.
func (d *Daemon) resolveAgain(peer string) {
	if p := d.config().Peer(peer); p != nil {
		d.lookUp(p, true)
	}
}

// resolved applies the result of a lookup if it differs from the last.
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
	if err := d.ike.ChangePeers(ctx, ike.ChangePeers{Set: []ike.Peer{e}}, d.unchanged); err != nil {
		d.inForce = nil // the next reload tells the engine everything
		d.log.Warn("new addresses not applied", "event", "resolve-failed", "peer", peer, "error", err)
	}
}

// unchanged is the Follow of a change of addresses only, which changes no policy. d.applying is
// held.
func (d *Daemon) unchanged(told []ipsec.Policy, gone []ipsec.PolicyID) error {
	fresh := func(p ipsec.Policy) bool { return !d.policies.inForce[p.ID] }
	if len(gone) > 0 || slices.ContainsFunc(told, fresh) {
		return errors.New("the peer is not in force yet: reload the configuration")
	}
	return nil
}

// unresolved returns why a peer's name has no addresses yet, or "" if it has some or needs none.
func (d *Daemon) unresolved(p *config.Peer) string {
	d.mu.Lock()
	l := d.found[p.Name]
	d.mu.Unlock()
	switch {
	case p.RemoteName == "" || l.name == p.RemoteName && len(l.addrs) > 0:
		return ""
	case l.name == p.RemoteName && l.err != nil:
		return l.err.Error() + "; trying again"
	}
	return p.RemoteName + " is being looked up"
}
