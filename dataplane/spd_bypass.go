package dataplane

import (
	"slices"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// A bypass is an entry of the SPD for traffic that is excluded from a policy although its selectors
// match it (RFC 4301, Section 4.4.1: BYPASS). The kernel routes such packets past the device. One
// that reaches the device nevertheless, by a route of the operator's, is dropped as if no policy
// covered it: it is not sealed, and not returned to the kernel, which would send it back.
//
// The longest remote prefix decides, as everywhere in the SPD; of entries with the same prefix, one
// that protects wins.

// SetBypasses sets the bypassed traffic: from Local to Remote of each entry, whose ID may
// be that of the policy that it limits. Any goroutine may call it.
func (p *Plane) SetBypasses(list []ipsec.Policy) {
	stay := make(map[ipsec.PolicyID]bool, len(list))
	for i := range list {
		stay[list[i].ID] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []ipsec.PolicyID
	for id := range p.bypasses {
		if !stay[id] {
			gone = append(gone, id)
		}
	}
	p.changeBypasses(list, gone)
}

// ChangeBypasses adds the bypasses of set or updates the selectors of those that are there, and
// removes those of gone. Any goroutine may call it.
func (p *Plane) ChangeBypasses(set []ipsec.Policy, gone []ipsec.PolicyID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changeBypasses(set, gone)
}

// changeBypasses publishes the SPD with changed bypasses. Plane.mu is held.
func (p *Plane) changeBypasses(set []ipsec.Policy, gone []ipsec.PolicyID) {
	table := p.spd.Load()
	for _, id := range gone {
		if old, ok := p.bypasses[id]; ok {
			table = table.Without(old)
			delete(p.bypasses, id)
		}
	}
	for _, c := range set {
		old, ok := p.bypasses[c.ID]
		if ok && slices.Equal(old.Local, c.Local) && slices.Equal(old.Remote, c.Remote) {
			continue
		}
		if ok {
			table = table.Without(old)
		}
		p.lastOrder++
		e := selector.Entry[target]{Order: bypassOrders | p.lastOrder, Local: slices.Clone(c.Local), Remote: slices.Clone(c.Remote)}
		p.bypasses[c.ID] = e
		table = table.With(e)
	}
	p.spd.Store(table)
}
