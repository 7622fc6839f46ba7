package dataplane

import (
	"fmt"
	"slices"
	"sync/atomic"

	"culvert/esp"
	"culvert/selector"
)

// PolicyConfig is one entry of the SPD (RFC 4301, Section 4.4.1): what is from Local to Remote is protected by Policy's SAs.
// What no entry matches is dropped; spd_bypass.go says what is bypassed.
type PolicyConfig struct {
	Policy        esp.Policy
	Local, Remote []selector.Selector
}

// slot is where the packet path finds the outbound SAs of a policy. It outlives SAs and, if the policy stays as it was, changes of the SPD, so
// that a rekey is one Store and the table of policies is not touched.
type slot struct {
	policy esp.Policy
	sas    atomic.Pointer[outboundSelection] // the active outbound SAs. Never nil
	noise  atomic.Pointer[namers]            // nil: noise is not for this policy
	opaque atomic.Bool                       // it is for fragments without ports

	acquire acquireState // guarded by keeper.mu

	// The rest is guarded by Plane.mu.
	entry      selector.Entry[target] // as it stands in the table
	configured bool
	tellsPorts bool
	pairs      []*pair // installed ones, active or not, by age
	past       counts  // of pairs that were removed
}

// target is what the SPD gives for a packet: the slot of its policy, or nil if it is bypassed, and
// the Order of the entry that matched.
type target struct {
	*slot
	order uint64
}

func newSlot(policy esp.Policy) *slot {
	s := &slot{policy: policy}
	s.sas.Store(new(outboundSelection))
	return s
}

// SetPolicies publishes a new SPD. A policy that is as it was keeps its slot, its SAs and its kept packets; so does one whose selectors changed, save that
// its SAs go on to carry only what they were negotiated for. SAs of a policy that is gone are sent on no more; the caller removes them. Of policies that
// match a packet equally well the one that was set first, then the one earlier in ps, wins. On an error nothing has changed. Any goroutine.
func (p *Plane) SetPolicies(ps []PolicyConfig) error {
	wanted, err := checkPolicies(ps)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []esp.Policy
	for policy, s := range p.slots {
		if s.configured && !wanted[policy] {
			gone = append(gone, policy)
		}
	}
	p.change(ps, gone)
	return nil
}

// ChangePolicies adds the policies set to the SPD, or gives those that are there their new selectors, and takes those of gone out; to each it does what SetPolicies would,
// and it leaves all others alone: what it costs does not grow with their number. On an error nothing has changed. Any goroutine.
func (p *Plane) ChangePolicies(set []PolicyConfig, gone []esp.Policy) error {
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

// change publishes the SPD without the policies gone and with those of set. Plane.mu is held.
func (p *Plane) change(set []PolicyConfig, gone []esp.Policy) {
	table := p.spd.Load()
	for _, policy := range gone {
		if s := p.slots[policy]; s != nil && s.configured {
			table = table.Without(s.entry)
			p.unconfigure(s)
		}
	}
	p.spd.Store(p.addPolicies(table, set))
}

// checkPolicies says what is wrong with policies, or which they are.
func checkPolicies(ps []PolicyConfig) (names map[esp.Policy]bool, err error) {
	names = make(map[esp.Policy]bool, len(ps))
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

// addPolicies puts what is new or changed into the table, at once if that is all of it.
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
func (p *Plane) slotOf(policy esp.Policy) *slot {
	s := p.slots[policy]
	if s == nil {
		s = newSlot(policy)
		p.slots[policy] = s
	}
	return s
}

// unconfigure forgets a slot's policy. Plane.mu is held.
func (p *Plane) unconfigure(s *slot) {
	s.configured = false
	p.notePorts(s)
	p.acquires.forget(s)
	p.dropUnused(s)
}

// dropUnused forgets a slot that neither a policy nor an SA names. Plane.mu is held.
func (p *Plane) dropUnused(s *slot) {
	if !s.configured && len(s.pairs) == 0 {
		delete(p.slots, s.policy)
	}
}

// policyFor finds the policy of an outbound flow; ok is false if there is none or it is bypassed.
func (p *Plane) policyFor(f *selector.Flow) (t target, ok bool) {
	t, ok = p.spd.Load().Lookup(f)
	return t, ok && t.slot != nil
}
