package dataplane

import (
	"fmt"
	"slices"
	"sync/atomic"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// A PolicyConfig is one entry of the SPD (RFC 4301, Section 4.4.1): Policy's SAs protect the
// traffic from Local to Remote. A packet that matches no entry is dropped. Bypasses are in
// spd_bypass.go.
type PolicyConfig struct {
	Policy        ipsec.Policy
	Local, Remote []selector.Selector
}

// A slot leads the packet path to the outbound SAs of a policy. It outlives SAs, and changes of the
// SPD that leave the policy in it, so that a rekey is one Store and does not touch the table of
// policies.
type slot struct {
	policy ipsec.Policy
	sas    atomic.Pointer[outboundSelection] // the active outbound SAs; never nil
	noise  atomic.Pointer[namers]            // nil: the policy carries no noise
	opaque atomic.Bool                       // the policy takes fragments without ports

	acquire acquireState // guarded by acquireQueue.mu

	// The rest is guarded by Plane.mu.
	entry      selector.Entry[target] // as in the table
	configured bool
	tellsPorts bool
	pairs      []*pair // installed pairs, active or not, by age
	past       counts  // counts of removed pairs
}

// target is what the SPD gives for a packet: the slot of its policy, or nil if it is bypassed, and
// the Order of the entry that matched.
type target struct {
	*slot
	order uint64
}

func newSlot(policy ipsec.Policy) *slot {
	s := &slot{policy: policy}
	s.sas.Store(new(outboundSelection))
	return s
}

// SetPolicies publishes a new SPD. An unchanged policy keeps its slot, its SAs and its packets in
// the acquire queue. So does one whose selectors changed, but its SAs carry only what they were
// negotiated for. SAs of a removed policy are not used for sending any more; the caller removes
// them. Of policies that match a packet equally well, the one that was set first wins, then the one
// earlier in ps. On an error nothing has changed. Any goroutine may call it.
func (p *Plane) SetPolicies(ps []PolicyConfig) error {
	wanted, err := checkPolicies(ps)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []ipsec.Policy
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
func (p *Plane) ChangePolicies(set []PolicyConfig, gone []ipsec.Policy) error {
	wanted, err := checkPolicies(set)
	if err != nil {
		return err
	}
	for _, policy := range gone {
		if wanted[policy] {
			return fmt.Errorf("dataplane: policy %s/%s is to be set and to be gone", policy.Peer, policy.Child)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change(set, gone)
	return nil
}

// change publishes the SPD without the policies of gone and with those of set. Plane.mu is held.
func (p *Plane) change(set []PolicyConfig, gone []ipsec.Policy) {
	table := p.spd.Load()
	for _, policy := range gone {
		if s := p.slots[policy]; s != nil && s.configured {
			table = table.Without(s.entry)
			p.unconfigure(s)
		}
	}
	p.spd.Store(p.addPolicies(table, set))
}

// checkPolicies returns the names of the policies, or an error about the first invalid one.
func checkPolicies(ps []PolicyConfig) (names map[ipsec.Policy]bool, err error) {
	names = make(map[ipsec.Policy]bool, len(ps))
	for i := range ps {
		if err := checkPolicy(&ps[i]); err != nil {
			return nil, err
		}
		if names[ps[i].Policy] {
			return nil, fmt.Errorf("dataplane: policy %s/%s is there twice", ps[i].Policy.Peer, ps[i].Policy.Child)
		}
		names[ps[i].Policy] = true
	}
	return names, nil
}

func checkPolicy(c *PolicyConfig) error {
	if len(c.Local) == 0 || len(c.Remote) == 0 {
		return fmt.Errorf("dataplane: policy %s/%s has no selectors", c.Policy.Peer, c.Policy.Child)
	}
	for _, s := range slices.Concat(c.Local, c.Remote) {
		if !s.Valid() {
			return fmt.Errorf("dataplane: policy %s/%s has the impossible selector %v", c.Policy.Peer, c.Policy.Child, s)
		}
	}
	return nil
}

// addPolicies adds new and changed policies to the table, in one step if the table is empty.
func (p *Plane) addPolicies(table *selector.Table[target], ps []PolicyConfig) *selector.Table[target] {
	fresh := table.Len() == 0
	var entries []selector.Entry[target]
	for _, c := range ps {
		s := p.slotOf(c.Policy)
		if s.configured && slices.Equal(s.entry.Local, c.Local) && slices.Equal(s.entry.Remote, c.Remote) {
			continue
		}
		if s.configured {
			table = table.Without(s.entry)
		}
		p.lastOrder++
		p.acquires.admit(s)
		s.setEntry(selector.Entry[target]{Order: p.lastOrder, Local: slices.Clone(c.Local), Remote: slices.Clone(c.Remote), Value: target{s, p.lastOrder}}, len(p.workers))
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

// slotOf finds or makes the slot of a policy. Plane.mu is held.
func (p *Plane) slotOf(policy ipsec.Policy) *slot {
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
	p.dropUnused(s)
}

// dropUnused drops a slot without a policy and without SAs. Plane.mu is held.
func (p *Plane) dropUnused(s *slot) {
	if !s.configured && len(s.pairs) == 0 {
		delete(p.slots, s.policy)
	}
}
