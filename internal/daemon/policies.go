package daemon

import (
	"fmt"
	"iter"
	"slices"

	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/protect"
)

// policies holds the policies in force that stand for configured children. The engine tells those
// of IKE, with their IDs; the daemon makes those of manual children. Policies of single parties of
// a peer are not here: the engine tells the packet path of them itself, and they lie within one
// that is.
type policies struct {
	named      map[ipsec.PolicyName]ipsec.PolicyID // of the children configured now
	inForce    map[ipsec.PolicyID]bool             // in the SPD, or maybe after an error
	lastManual ipsec.PolicyID
}

// allBypass is the ID of the bypass of [daemon] in the packet path.
const allBypass = ipsec.FirstManualPolicy

func newPolicies() policies {
	return policies{named: map[ipsec.PolicyName]ipsec.PolicyID{}, inForce: map[ipsec.PolicyID]bool{}, lastManual: allBypass}
}

// of returns the ID of a child's policy; 0 if there is none yet.
func (p *policies) of(peer, child string) ipsec.PolicyID {
	return p.named[ipsec.PolicyName{Peer: peer, Child: child}]
}

// inOrder yields the policies of a configuration's children, in the order of the files.
func (p *policies) inOrder(c *config.Config) iter.Seq[protect.ID] {
	return func(yield func(protect.ID) bool) {
		for i := range c.Peers {
			for _, name := range c.Peers[i].Order {
				if id := p.of(c.Peers[i].Name, name); id != 0 && !yield(protect.ID(id)) {
					return
				}
			}
		}
	}
}

// A policyChange is a change of the policies in force. No ID is in both lists.
type policyChange struct {
	set  []ipsec.Policy   // all policies of the changed peers, in the order of the configuration
	gone []ipsec.PolicyID // those that are no longer needed
}

// change returns the change that a difference between configurations means. told and gone are what
// the engine told of it: all policies of the changed peers, and those that it no longer needs.
func (p *policies) change(d *difference, told []ipsec.Policy, gone []ipsec.PolicyID) (c policyChange, err error) {
	byName := make(map[ipsec.PolicyName]*ipsec.Policy, len(told))
	for i := range told {
		byName[told[i].Name] = &told[i]
	}
	before := p.named
	if d.whole {
		p.named = make(map[ipsec.PolicyName]ipsec.PolicyID, len(told))
	}
	c.gone = gone
	for _, name := range d.lost {
		p.replaceManual(before[name], 0, &c)
		delete(p.named, name)
	}
	for _, peer := range d.set {
		for _, pol := range policiesOf(peer) {
			old := before[pol.Name]
			switch t := byName[pol.Name]; {
			case t != nil:
				pol = *t
			case manualNamed(peer, pol.Name.Child) == nil:
				return c, fmt.Errorf("internal error: the engine has no policy for %s", pol.Name)
			default:
				pol.ID = p.manualID(old)
			}
			p.replaceManual(old, pol.ID, &c)
			pol.MTU = peer.MTU
			p.named[pol.Name], p.inForce[pol.ID] = pol.ID, true
			c.set = append(c.set, pol)
		}
	}
	if d.whole {
		p.endOthers(&c)
	}
	return c, nil
}

// manualID returns the ID of the policy of a manual child that had the ID old.
func (p *policies) manualID(old ipsec.PolicyID) ipsec.PolicyID {
	if old > allBypass {
		return old
	}
	p.lastManual++
	return p.lastManual
}

// replaceManual ends the policy of a manual child if another one, or none, takes its place. The
// engine tells itself which of its own end.
func (p *policies) replaceManual(old, now ipsec.PolicyID, c *policyChange) {
	if old > allBypass && old != now {
		c.gone = append(c.gone, old)
	}
}

// endOthers ends all policies in force that are in neither list of the change.
func (p *policies) endOthers(c *policyChange) {
	known := make(map[ipsec.PolicyID]bool, len(c.set)+len(c.gone))
	for i := range c.set {
		known[c.set[i].ID] = true
	}
	for _, id := range c.gone {
		known[id] = true
	}
	for id := range p.inForce {
		if !known[id] {
			c.gone = append(c.gone, id)
		}
	}
}

// ended forgets policies that are no longer in force.
func (p *policies) ended(gone []ipsec.PolicyID) {
	for _, id := range gone {
		delete(p.inForce, id)
	}
}

// policiesOf returns the policies of a peer's children, without IDs.
func policiesOf(p *config.Peer) (list []ipsec.Policy) {
	eachChild(p, func(p *config.Peer, name string, local, remote []selector.Selector) {
		list = append(list, ipsec.Policy{Name: ipsec.PolicyName{Peer: p.Name, Child: name}, Local: local, Remote: remote})
	})
	return list
}

// applyToBypasses tells the packet path of the changed bypasses.
func (c *policyChange) applyToBypasses(d *difference, plane packetPath) {
	var set []ipsec.Policy
	gone := slices.Clone(c.gone)
	for _, pol := range c.set {
		if b := d.next.Peer(pol.Name.Peer).RoutingOf(pol.Name.Child).Bypass; len(b) > 0 {
			set = append(set, ipsec.Policy{ID: pol.ID, Name: pol.Name, Local: pol.Local, Remote: selectorsOf(b)})
			continue
		}
		gone = append(gone, pol.ID)
	}
	if !d.whole {
		plane.ChangeBypasses(set, gone)
		return
	}
	if all := d.next.Daemon.Bypass; len(all) > 0 {
		set = append(set, ipsec.Policy{ID: allBypass, Local: []selector.Selector{selector.All(false), selector.All(true)}, Remote: selectorsOf(all)})
	}
	plane.SetBypasses(set)
}
