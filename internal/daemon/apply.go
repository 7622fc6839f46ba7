package daemon

import (
	"context"
	"errors"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/protect"
)

// apply makes a configuration the one in force. The engine tells the policies that its peers need.
// They are protected and routed first, so that no packet of a new peer can leave in the clear. Then
// the engine acts for the peers. d.applying is held.
func (d *Daemon) apply(ctx context.Context, c *config.Config) error {
	if err := d.checkEncap(c); err != nil {
		return err
	}
	diff := compare(d.inForce, c)
	d.inForce = nil // until all of it is applied
	if err := d.tellEngine(ctx, &diff); err != nil {
		return err
	}
	d.inForce, d.applied = c, c
	return nil
}

// enforce brings the policies of the changed peers into force, and then all that the configuration
// holds besides IKE. told and gone are what the engine told of the policies. d.applying is held.
func (d *Daemon) enforce(diff *difference, told []ipsec.Policy, gone []ipsec.PolicyID) error {
	change, err := d.policies.change(diff, told, gone)
	if err != nil {
		return err
	}
	if len(change.set)+len(change.gone) > 0 {
		if err := d.plane.ChangePolicies(change.set, change.gone); err != nil {
			return err
		}
	}
	d.policies.ended(change.gone)
	change.applyToBypasses(diff, d.plane)
	if err := d.protect(diff, &change); err != nil {
		return err
	}
	c := diff.next
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
	return nil
}

// protect has the kernel hold back the protected flows and route them to the device.
func (d *Daemon) protect(diff *difference, policies *policyChange) error {
	exempt, err := d.exempt(diff.next)
	if err != nil {
		return err
	}
	d.opened = d.flows.Opened(exempt)
	change := diff.applyToFlows(d.flows, policies)
	d.opened = append(d.opened, d.flows.Opened(change)...)
	return d.follow(diff.next, change)
}

// follow applies a change of the flows to the kernel, the guard first: no packet leaves before its
// route exists. The router itself retries routes that the kernel refuses. d.applying is held.
func (d *Daemon) follow(c *config.Config, change protect.Change) error {
	if err := d.guard.apply(change, d.flows.Whole); err != nil {
		return err
	}
	if err := d.guard.attribute(d.flows, d.policies.inOrder(c)); err != nil {
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

// tellEngine changes the engine's peers, and before that brings their policies into force.
func (d *Daemon) tellEngine(ctx context.Context, diff *difference) error {
	follow := func(set []ipsec.Policy, gone []ipsec.PolicyID) error { return d.enforce(diff, set, gone) }
	change := ike.ChangePeers{Gone: diff.gone}
	for _, p := range diff.set {
		if e, ok := d.enginePeer(diff.next, p); ok {
			change.Set = append(change.Set, e)
			continue
		}
		change.Gone = append(change.Gone, p.Name) // it may have spoken IKE before
	}
	switch {
	case diff.whole:
		return d.ike.SetPeers(ctx, change.Set, follow)
	case len(change.Set) == 0 && len(change.Gone) == 0:
		return follow(nil, nil)
	}
	return d.ike.ChangePeers(ctx, change, follow)
}
