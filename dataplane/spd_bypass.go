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

// lastOrders is where the Orders of bypasses begin, after those of all policies.
const lastOrders = 1 << 63

// SetBypasses sets the bypassed traffic: from Local to Remote of each entry, whose Policy is only
// its name. Any goroutine may call it.
func (p *Plane) SetBypasses(list []PolicyConfig) {
	stay := make(map[ipsec.Policy]bool, len(list))
	for i := range list {
		stay[list[i].Policy] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []ipsec.Policy
	for name := range p.bypasses {
		if !stay[name] {
			gone = append(gone, name)
		}
	}
	p.changeBypasses(list, gone)
}

// ChangeBypasses adds the bypasses of set or updates the selectors of those that are there, and
// removes those of gone. Any goroutine may call it.
func (p *Plane) ChangeBypasses(set []PolicyConfig, gone []ipsec.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changeBypasses(set, gone)
}

// changeBypasses publishes the SPD with changed bypasses. Plane.mu is held.
func (p *Plane) changeBypasses(set []PolicyConfig, gone []ipsec.Policy) {
	table := p.spd.Load()
	for _, name := range gone {
		if old, ok := p.bypasses[name]; ok {
			table = table.Without(old)
			delete(p.bypasses, name)
		}
	}
	for _, c := range set {
		old, ok := p.bypasses[c.Policy]
		if ok && slices.Equal(old.Local, c.Local) && slices.Equal(old.Remote, c.Remote) {
			continue
		}
		if ok {
			table = table.Without(old)
		}
		p.lastOrder++
		e := selector.Entry[target]{Order: lastOrders | p.lastOrder, Local: slices.Clone(c.Local), Remote: slices.Clone(c.Remote)}
		p.bypasses[c.Policy] = e
		table = table.With(e)
	}
	p.spd.Store(table)
}
