package ike

import (
	"reflect"

	"culvert/ike/child"
	"culvert/internal/ipsec"
)

// policyTable holds the policies in the SPD. The engine gives each its ID, and has the SPD follow
// by InstallPolicy and RemovePolicy.
type policyTable struct {
	last ipsec.PolicyID // of all that there ever were
	byID map[ipsec.PolicyID]*child.Policy
}

func newPolicyTable() policyTable { return policyTable{byID: map[ipsec.PolicyID]*child.Policy{}} }

// next returns a new ID.
func (t *policyTable) next() ipsec.PolicyID {
	t.last++
	return t.last
}

// add adds a policy, and has it installed unless it was planned.
func (t *policyTable) add(e *Engine, pol *child.Policy) {
	t.byID[pol.ID] = pol
	if !e.plan.set[pol.ID] {
		e.emit(InstallPolicy{Policy: entryOf(pol)})
	}
	e.obey(pol)
	e.join(pol)
}

// remove removes a policy, and has it removed from the SPD unless that was planned.
func (t *policyTable) remove(e *Engine, pol *child.Policy) {
	if t.byID[pol.ID] == nil {
		return
	}
	delete(t.byID, pol.ID)
	e.leave(pol)
	if !e.plan.gone[pol.ID] {
		e.emit(RemovePolicy{ID: pol.ID})
	}
}

// entryOf returns the policy's entry of the SPD.
func entryOf(pol *child.Policy) ipsec.Policy {
	p := pol.Owner().(*party)
	e := ipsec.Policy{ID: pol.ID, Name: pol.Name, Local: pol.Settings.Local, Remote: pol.Settings.Remote}
	if e.Fallback = p.cfg.Parties && !p.isOne(); p.isOne() {
		e.Local, e.Remote = p.agreed[pol].local, p.agreed[pol].remote
		e.Within = p.profile.party.policyNamed(pol.Name.Child).ID
	}
	e.Standby = p.prioritized()
	return e
}

// peerPlan is what the last PlanPeers told of the next change of peers.
type peerPlan struct {
	profiles  map[string]*profile                // new ones, and those in place of closed ones, by name
	children  map[ipsec.PolicyName]*child.Policy // new ones of peers that stay
	set, gone map[ipsec.PolicyID]bool
}

// planPeers makes the profiles that a change of peers will add, and tells their policies and those
// that will go. An earlier plan is forgotten.
func (e *Engine) planPeers(in PlanPeers) {
	e.endPlan()
	if e.stopping {
		return
	}
	e.plan = peerPlan{profiles: map[string]*profile{}, children: map[ipsec.PolicyName]*child.Policy{}, set: map[ipsec.PolicyID]bool{}, gone: map[ipsec.PolicyID]bool{}}
	stay := make(map[string]bool, len(in.Set))
	for i := range in.Set {
		if cfg := &in.Set[i]; !stay[cfg.Name] && len(cfg.Proposals) > 0 {
			stay[cfg.Name] = true
			e.planPeer(cfg)
		}
	}
	if in.Whole {
		for p := range e.peers.all() {
			if !stay[p.cfg.Name] {
				e.planEnd(p)
			}
		}
		return
	}
	for _, name := range in.Gone {
		if p := e.peers.byName[name]; p != nil && !stay[name] {
			e.planEnd(p)
		}
	}
}

// planPeer plans to add or change a peer. The policies that stay are told as well.
func (e *Engine) planPeer(cfg *Peer) {
	old := e.peers.byName[cfg.Name]
	if old != nil && old.survives(cfg) {
		e.planChildren(old, cfg)
		return
	}
	if old != nil {
		e.planEnd(old)
	}
	p := e.newProfile(*cfg)
	e.plan.profiles[cfg.Name] = p
	e.planStart(p)
	for _, pol := range p.party.policies {
		e.plan.set[pol.ID] = true
	}
}

// planChildren plans the change of a peer whose IKE SAs stay: only the policies of children that
// come, go or get other networks change.
func (e *Engine) planChildren(p *profile, cfg *Peer) {
	for q := range p.all() {
		for _, pol := range q.policies {
			switch {
			case e.policies.byID[pol.ID] == nil:
			case !sameChild(pol, cfg):
				e.plan.gone[pol.ID] = true
				e.emit(RemovePolicy{ID: pol.ID})
			case !q.isOne():
				e.emit(InstallPolicy{Policy: entryOf(pol)})
			}
		}
	}
	for _, c := range cfg.Children {
		if pol := p.party.policyNamed(c.Name); pol == nil || !sameChild(pol, cfg) {
			pol = p.party.newPolicy(c)
			e.plan.children[pol.Name], e.plan.set[pol.ID] = pol, true
			e.emit(InstallPolicy{Policy: entryOf(pol)})
		}
	}
}

// plannedPolicy returns the policy that was planned for a child, or else a new one. Those of a
// party of many join the SPD when the party has agreed to networks (admit).
func (p *party) plannedPolicy(c Child) *child.Policy {
	if p.isOne() {
		return p.newPolicy(c)
	}
	pol := p.e.plan.children[ipsec.PolicyName{Peer: p.cfg.Name, Child: c.Name}]
	if pol == nil || !reflect.DeepEqual(pol.Settings, c) {
		pol = p.newPolicy(c)
	}
	p.e.policies.add(p.e, pol)
	return pol
}

// planStart tells the policies of a profile.
func (e *Engine) planStart(p *profile) {
	for _, pol := range p.party.policies {
		e.emit(InstallPolicy{Policy: entryOf(pol)})
	}
}

// planEnd tells that the policies of a profile will go.
func (e *Engine) planEnd(p *profile) {
	for q := range p.all() {
		for _, pol := range q.policies {
			if e.policies.byID[pol.ID] != nil {
				e.plan.gone[pol.ID] = true
				e.emit(RemovePolicy{ID: pol.ID})
			}
		}
	}
}

// plannedProfile returns the profile that was planned for the configuration, or else a new one. Its
// policies are added to the table.
func (e *Engine) plannedProfile(cfg Peer) *profile {
	p := e.plan.profiles[cfg.Name]
	if p == nil || !p.sameBut(cfg) {
		p = e.newProfile(cfg)
	}
	p.given.Remote, p.cfg.Remote = cfg.Remote, cfg.Remote
	e.holds.prune(&cfg)
	for _, pol := range p.party.policies {
		e.policies.add(e, pol)
	}
	p.keepHeld()
	return p
}

// endPlan forgets the plan, which is carried out or overtaken.
func (e *Engine) endPlan() { e.plan = peerPlan{} }
