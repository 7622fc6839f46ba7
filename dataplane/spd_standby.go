package dataplane

import "culvert/internal/ipsec"

// StandbyPolicy has a policy yield to others that match a packet equally well, or with standby
// false has it matched before those that do. The packets that wait for an SA of a policy that
// yields go to the one that is matched now. Inbound traffic is accepted as before. Changes of the
// SPD that leave the policy there do not change it. Any goroutine may call it.
func (p *Plane) StandbyPolicy(policy ipsec.PolicyID, standby bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[policy]
	if s == nil || !s.configured || s.standby == standby {
		return
	}
	table := p.spd.Load().Without(s.entry)
	p.lastOrder++
	e := s.entry
	e.Order = standbyOrder(p.lastOrder, standby)
	e.Value = target{s, e.Order}
	s.setEntry(e, len(p.workers))
	p.spd.Store(table.With(e))
	p.acquires.standBy(s, standby)
}

// ProbePair sends a dummy packet on a pair, also one of a policy that stands by. A peer that knows
// the format answers with another one (dummy), which counts as received on its SA. Any goroutine
// may call it.
func (p *Plane) ProbePair(id ipsec.ChildID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.pairs[id]; c != nil && c.out != nil && c.path != nil {
		p.sendDummy(c, dummy{kind: dummyRequest}, 0)
	}
}

// standbyOrder returns the Order of an entry that has a number, and stands by or not.
func standbyOrder(n uint64, standby bool) uint64 {
	if standby {
		return standbyOrders | n
	}
	return n
}
