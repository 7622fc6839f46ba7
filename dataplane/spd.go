package dataplane

import (
	"fmt"
	"slices"
	"sync/atomic"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// A slot leads the packet path to the outbound SAs of a policy. It outlives SAs, and changes of the
// SPD that leave the policy in it, so that a rekey is one Store and does not touch the table of
// policies.
type slot struct {
	policy ipsec.PolicyID
	sas    atomic.Pointer[outboundSelection] // the active outbound SAs; never nil
	noise  atomic.Pointer[namers]            // nil: the policy carries no noise
	opaque atomic.Bool                       // the policy takes fragments without ports

	acquire acquireState // guarded by acquireQueue.mu
	standby bool         // the policy yields to others with the same networks; set under both locks

	// The rest is guarded by Plane.mu.
	entry      selector.Entry[target] // as in the table
	configured bool
	tellsPorts bool
	pairs      []*pair        // installed pairs, active or not, by age
	past       counts         // counts of removed pairs
	ceiling    int            // ipsec.Policy.MTU
	within     ipsec.PolicyID // ipsec.Policy.Within
	silence    silence
	dummies    uint64 // dummy packets that were sent on its pairs
	lookedAt   int64  // when its silence was last looked for, as Plane.looked
	answered   int64  // when an answer to a probe last came on its pairs; UnixNano
	second     int32  // the second in which a request on its pairs was last answered
	answers    int32  // answers in that second
	told       int32  // the second in which EventProbed was last posted
}

// target is what the SPD gives for a packet: the slot of its policy, or nil if it is bypassed, and
// the Order of the entry that matched.
type target struct {
	*slot
	order uint64
}

func newSlot(policy ipsec.PolicyID) *slot {
	s := &slot{policy: policy}
	s.sas.Store(new(outboundSelection))
	return s
}

// SetPolicies publishes a new SPD. An unchanged policy keeps its slot, its SAs and its packets in
// the acquire queue. So does one whose selectors changed, but its SAs carry only what they were
// negotiated for. SAs of a removed policy are not used for sending any more; the caller removes
// them. Of policies that match a packet equally well, the one that was set first wins, then the one
// earlier in ps. On an error nothing has changed. Any goroutine may call it.
func (p *Plane) SetPolicies(ps []ipsec.Policy) error {
	wanted, err := checkPolicies(ps)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []ipsec.PolicyID
	for policy, s := range p.slots {
		if s.configured && !wanted[policy] {
			gone = append(gone, policy)
		}
	}
	p.change(ps, gone)
	return nil
}

// ChangePolicies adds the policies of set to the SPD, or updates the selectors of those that are
// there, and removes those of gone, each with the effect that SetPolicies has. All others stay, and
// the cost does not grow with their number. On an error nothing has changed. Any goroutine may call
// it.
func (p *Plane) ChangePolicies(set []ipsec.Policy, gone []ipsec.PolicyID) error {
	wanted, err := checkPolicies(set)
	if err != nil {
		return err
	}
	for _, policy := range gone {
		if wanted[policy] {
			return fmt.Errorf("dataplane: policy %d is to be set and to be gone", policy)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change(set, gone)
	return nil
}

// HoldPolicy begins, or with held false ends, to drop the packets of a policy, which an operator
// took down: those of this side, and those that still come on its SAs while these are deleted. The
// control plane sends on no SA of it meanwhile. Changes of the SPD that leave the policy there do
// not end it. Any goroutine may call it.
func (p *Plane) HoldPolicy(policy ipsec.PolicyID, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[policy]; s != nil {
		p.acquires.hold(s, held)
		for _, c := range s.pairs {
			c.held.Store(held)
		}
	}
}

// change publishes the SPD without the policies of gone and with those of set. Plane.mu is held.
func (p *Plane) change(set []ipsec.Policy, gone []ipsec.PolicyID) {
	table := p.spd.Load()
	for _, policy := range gone {
		if s := p.slots[policy]; s != nil && s.configured {
			table = table.Without(s.entry)
			p.unconfigure(s)
		}
	}
	var changed map[*slot]bool
	for i := range set {
		if s := p.slotOf(set[i].ID); s.setCeiling(&set[i]) {
			if changed == nil {
				changed = make(map[*slot]bool)
			}
			changed[s] = true
		}
	}
	p.spd.Store(p.addPolicies(table, set))
	p.followCeilings(changed)
}

// checkPolicies returns the IDs of the policies, or an error about the first invalid one.
func checkPolicies(ps []ipsec.Policy) (ids map[ipsec.PolicyID]bool, err error) {
	ids = make(map[ipsec.PolicyID]bool, len(ps))
	for i := range ps {
		if err := checkPolicy(&ps[i]); err != nil {
			return nil, err
		}
		if ids[ps[i].ID] {
			return nil, fmt.Errorf("dataplane: policy %s is there twice", ps[i].Name)
		}
		ids[ps[i].ID] = true
	}
	return ids, nil
}

func checkPolicy(c *ipsec.Policy) error {
	if len(c.Local) == 0 || len(c.Remote) == 0 {
		return fmt.Errorf("dataplane: policy %s has no selectors", c.Name)
	}
	for _, s := range slices.Concat(c.Local, c.Remote) {
		if !s.Valid() {
			return fmt.Errorf("dataplane: policy %s has the impossible selector %v", c.Name, s)
		}
	}
	return nil
}

// addPolicies adds new and changed policies to the table, in one step if the table is empty.
func (p *Plane) addPolicies(table *selector.Table[target], ps []ipsec.Policy) *selector.Table[target] {
	fresh := table.Len() == 0
	var entries []selector.Entry[target]
	for _, c := range ps {
		s := p.slotOf(c.ID)
		if s.configured && slices.Equal(s.entry.Local, c.Local) && slices.Equal(s.entry.Remote, c.Remote) {
			continue
		}
		if s.configured {
			table = table.Without(s.entry)
		}
		if !s.configured {
			p.acquires.standBy(s, c.Standby)
		}
		order := p.orderOf(s, &c)
		p.acquires.admit(s)
		s.setEntry(selector.Entry[target]{Order: order, Local: slices.Clone(c.Local), Remote: slices.Clone(c.Remote), Value: target{s, order}}, len(p.workers))
		p.notePorts(s)
		if fresh {
			entries = append(entries, s.entry)
			continue
		}
		table = table.With(s.entry)
	}
	if fresh {
		return selector.NewTable(entries)
	}
	return table
}

// Of entries with the same prefix, policies with SAs of their own win, then those that stand by,
// then fallbacks, then bypasses.
const (
	standbyOrders  = 1 << 61
	fallbackOrders = 1 << 62
	bypassOrders   = 1 << 63
)

// orderOf returns the Order of a new entry. Plane.mu is held.
func (p *Plane) orderOf(s *slot, c *ipsec.Policy) uint64 {
	p.lastOrder++
	if c.Fallback {
		return fallbackOrders | p.lastOrder
	}
	return standbyOrder(p.lastOrder, s.standby)
}

// slotOf finds or makes the slot of a policy. Plane.mu is held.
func (p *Plane) slotOf(policy ipsec.PolicyID) *slot {
	s := p.slots[policy]
	if s == nil {
		s = newSlot(policy)
		p.slots[policy] = s
	}
	return s
}

// unconfigure removes a slot's policy. Plane.mu is held.
func (p *Plane) unconfigure(s *slot) {
	s.configured = false
	p.notePorts(s)
	p.acquires.forget(s)
	p.endCopying(s.policy)
	p.dropUnused(s)
}

// dropUnused drops a slot without a policy and without SAs. Plane.mu is held.
func (p *Plane) dropUnused(s *slot) {
	if !s.configured && len(s.pairs) == 0 {
		delete(p.slots, s.policy)
	}
}
