package daemon

import (
	"slices"

	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/protect"
)

// policies holds the IDs of the policies of all configured children. The engine gives those of IKE;
// manual children have IDs of the daemon's. The policies of single parties of a peer are not here:
// the engine tells the packet path of them itself, and they lie within the networks of the child.
type policies struct {
	ids        map[protect.ID]ipsec.PolicyID
	spd        map[ipsec.PolicyID]bool // all that the packet path has, or may have after an error
	lastManual ipsec.PolicyID
}

// allBypass is the ID of the bypass of [daemon] in the packet path.
const allBypass = ipsec.FirstManualPolicy

func newPolicies() policies {
	return policies{ids: map[protect.ID]ipsec.PolicyID{}, spd: map[ipsec.PolicyID]bool{}, lastManual: allBypass}
}

// of returns the ID of a child's policy; 0 if there is none yet.
func (p *policies) of(peer, child string) ipsec.PolicyID {
	return p.ids[protect.ID{Peer: peer, Child: child}]
}

// A policyChange is what a difference between configurations changes in the SPD.
type policyChange struct {
	set  []ipsec.Policy   // of all children of the changed peers, in the order of the configuration
	gone []ipsec.PolicyID // those that are no longer needed
}

// change applies a difference, and the changes of the engine's policies that it caused.
func (p *policies) change(d *difference, set []ipsec.Policy, gone []ipsec.PolicyID) policyChange {
	fresh := make(map[protect.ID]ipsec.Policy, len(set))
	for _, pol := range set {
		fresh[nameOf(&pol)] = pol
	}
	c := policyChange{gone: gone}
	for _, id := range gone {
		delete(p.spd, id)
	}
	for _, id := range d.policies {
		p.forget(id, &c)
	}
	stay := map[ipsec.PolicyID]bool{}
	for _, peer := range d.set {
		for _, pol := range policiesOf(peer) {
			id := nameOf(&pol)
			if f, ok := fresh[id]; ok {
				pol = f
			} else if pol.ID = p.ids[id]; manualNamed(peer, id.Child) != nil && pol.ID <= allBypass {
				p.lastManual++
				pol.ID = p.lastManual
			}
			if pol.ID == 0 {
				continue // the engine is stopping
			}
			if p.ids[id] != pol.ID {
				p.forget(id, &c)
			}
			p.ids[id], p.spd[pol.ID], stay[pol.ID] = pol.ID, true, true
			c.set = append(c.set, pol)
		}
	}
	for id := range p.spd {
		if d.whole && !stay[id] {
			p.end(id, &c)
		}
	}
	return c
}

// forget removes a child's policy, if it has one.
func (p *policies) forget(id protect.ID, c *policyChange) {
	p.end(p.ids[id], c)
	delete(p.ids, id)
}

// end removes a policy, once.
func (p *policies) end(id ipsec.PolicyID, c *policyChange) {
	if p.spd[id] {
		c.gone = append(c.gone, id)
		delete(p.spd, id)
	}
}

// nameOf returns the name of a policy of a configured child.
func nameOf(p *ipsec.Policy) protect.ID { return protect.ID{Peer: p.Name.Peer, Child: p.Name.Child} }

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
