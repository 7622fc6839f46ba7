package dataplane

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"culvert/esp"
	"culvert/selector"
)

// PolicyConfig is one entry of the SPD (RFC 4301, Section 4.4.1): what is from Local to Remote is protected by Policy's SAs.
// What no entry matches is dropped; nothing is ever bypassed.
type PolicyConfig struct {
	Policy        esp.Policy
	Local, Remote []selector.Selector
}

// slot is where the packet path finds the outbound SAs of a policy. It outlives SAs and, if the policy stays as it was, changes of the SPD, so
// that a rekey is one Store and the table of policies is not touched.
type slot struct {
	policy esp.Policy
	// sas are the active outbound SAs, newest first: ordinarily one, two while a rekey's old one awaits its Delete, and more where the peer
	// narrows every SA to the packet that asked for it (RFC 7296, Section 2.9). Never nil.
	sas atomic.Pointer[[]outboundSA]

	wait waiting // guarded by keeper.mu

	// The rest is guarded by Plane.mu.
	entry      selector.Entry[target] // as it stands in the table
	configured bool
	pairs      []*pair    // installed ones, active or not, by age
	past       ChildStats // of pairs that were removed
}

// outboundSA is one active SA of a slot.
type outboundSA struct {
	pair *pair
	// covers is the entry's Order under which its selectors cover the policy's, so that they need not be asked for each packet; 0: none. A worker that found the
	// policy in the SPD before last asks.
	covers uint64
}

// target is what the SPD gives for a packet: the slot of its policy, and the Order of the entry that matched.
type target struct {
	*slot
	order uint64
}

func newSlot(policy esp.Policy) *slot {
	s := &slot{policy: policy}
	s.sas.Store(new([]outboundSA))
	return s
}

// pick is the newest active SA that may carry the flow, which matched the policy's entry of the given Order (0: unknown), or nil. An SA that may send no more
// (hard limit, sequence numbers) carries nothing. Workers.
func (s *slot) pick(f *selector.Flow, order uint64) *pair {
	list := *s.sas.Load()
	for i := range list {
		sa := &list[i]
		if (order == 0 || sa.covers != order) && !selector.MatchOutbound(f, sa.pair.sa.LocalTS, sa.pair.sa.RemoteTS) {
			continue
		}
		if !sa.pair.spent.Load() {
			return sa.pair
		}
	}
	return nil
}

// activate puts p among the slot's active SAs. A late activation of an older pair lands behind the newer ones, which have its traffic already: what a
// lost rekey collision does too late changes nothing. Plane.mu is held.
func (s *slot) activate(p *pair) {
	list := *s.sas.Load()
	at, found := slices.BinarySearchFunc(list, p.sa.ID, func(sa outboundSA, id esp.ChildID) int { return cmp.Compare(id, sa.pair.sa.ID) })
	if found {
		return
	}
	list = slices.Insert(slices.Clone(list), at, outboundSA{p, s.covers(p)})
	s.sas.Store(&list)
}

// deactivate takes p out. Plane.mu is held.
func (s *slot) deactivate(p *pair) {
	list := slices.DeleteFunc(slices.Clone(*s.sas.Load()), func(sa outboundSA) bool { return sa.pair == p })
	s.sas.Store(&list)
}

// setEntry gives the slot its policy's selectors. Plane.mu is held.
func (s *slot) setEntry(e selector.Entry[target]) {
	s.entry, s.configured = e, true
	list := slices.Clone(*s.sas.Load())
	for i := range list {
		list[i].covers = s.covers(list[i].pair)
	}
	s.sas.Store(&list)
}

// covers is the Order of the slot's entry if every packet of the policy may go through p, or 0. Plane.mu is held.
func (s *slot) covers(p *pair) uint64 {
	if s.configured && covered(s.entry.Local, p.sa.LocalTS) && covered(s.entry.Remote, p.sa.RemoteTS) {
		return s.entry.Order
	}
	return 0
}

// covered says whether each of list lies within one of by. A list that only several of by cover together is not found; it costs a look at each packet.
func covered(list, by []selector.Selector) bool {
	for _, s := range list {
		if !slices.ContainsFunc(by, func(c selector.Selector) bool { return c.Covers(s) }) {
			return false
		}
	}
	return true
}

// SetPolicies publishes a new SPD. A policy that is as it was keeps its slot, its SAs and its kept packets; so does one whose selectors changed, save that
// its SAs go on to carry only what they were negotiated for. SAs of a policy that is gone are sent on no more; the caller removes them. Of policies that
// match a packet equally well the one that was set first, then the one earlier in ps, wins. On an error nothing has changed. Any goroutine.
func (p *Plane) SetPolicies(ps []PolicyConfig) error {
	wanted := make(map[esp.Policy]bool, len(ps))
	for i := range ps {
		if err := checkPolicy(&ps[i]); err != nil {
			return err
		}
		if wanted[ps[i].Policy] {
			return fmt.Errorf("dataplane: policy %s/%s is there twice", ps[i].Policy.Peer, ps[i].Policy.Child)
		}
		wanted[ps[i].Policy] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	table := p.spd.Load()
	for policy, s := range p.slots {
		if s.configured && !wanted[policy] {
			table = table.Without(s.entry)
			p.unconfigure(s)
		}
	}
	p.spd.Store(p.addPolicies(table, ps))
	return nil
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
		p.keeper.admit(s)
		s.setEntry(selector.Entry[target]{Order: p.lastOrder, Local: slices.Clone(c.Local), Remote: slices.Clone(c.Remote), Value: target{s, p.lastOrder}})
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
	p.keeper.forget(s)
	p.dropUnused(s)
}

// dropUnused forgets a slot that neither a policy nor an SA names. Plane.mu is held.
func (p *Plane) dropUnused(s *slot) {
	if !s.configured && len(s.pairs) == 0 {
		delete(p.slots, s.policy)
	}
}
