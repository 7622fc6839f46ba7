package dataplane

import (
	"slices"
	"time"

	"culvert/esp"
)

// ChildStats is what a Child SA pair, or all the pairs of a policy, have done.
type ChildStats struct {
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64    // of inner packets
	LastIn, LastOut       time.Time // zero: never
	Drops                 map[string]uint64
	MTU                   int // the largest inner packet that is sent unfragmented; 0: there is no SA
}

// ChildStats are the counts of one pair that is installed. Any goroutine.
func (p *Plane) ChildStats(id esp.ChildID) (ChildStats, bool) {
	c := p.pairByID(id)
	if c == nil {
		return ChildStats{}, false
	}
	return c.stats(), true
}

// PolicyStats are the counts of a policy since it was set: of all its pairs, those that were removed too, so that a rekeying does not show in them. The MTU is
// that of the pair which is sent on, else of the newest. Any goroutine.
func (p *Plane) PolicyStats(policy esp.Policy) (ChildStats, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[policy]
	if s == nil {
		return ChildStats{}, false
	}
	st := ChildStats{Drops: new(drops).snapshot()}
	st.add(s.past)
	for _, c := range s.pairs {
		st.add(c.stats())
		st.MTU = int(c.mtu.Load())
	}
	if c := s.sas.Load().first(); c != nil {
		st.MTU = int(c.mtu.Load())
	}
	return st, true
}

func (c *pair) stats() ChildStats {
	st := ChildStats{LastIn: c.lastIn.time(), LastOut: c.lastOut.time(), Drops: c.drops.snapshot(), MTU: int(c.mtu.Load())}
	if c.in != nil {
		used := c.in.Used()
		st.PacketsIn, st.BytesIn = used.Packets, used.Octets
	}
	if c.out != nil {
		used := c.out.Used()
		st.PacketsOut, st.BytesOut = used.Packets, used.Octets
	}
	return st
}

// add adds what another pair has done. The MTU stays.
func (st *ChildStats) add(more ChildStats) {
	st.PacketsIn, st.PacketsOut = st.PacketsIn+more.PacketsIn, st.PacketsOut+more.PacketsOut
	st.BytesIn, st.BytesOut = st.BytesIn+more.BytesIn, st.BytesOut+more.BytesOut
	st.LastIn, st.LastOut = later(st.LastIn, more.LastIn), later(st.LastOut, more.LastOut)
	if st.Drops == nil {
		st.Drops = make(map[string]uint64, len(more.Drops))
	}
	for name, n := range more.Drops {
		st.Drops[name] += n
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// join and leave keep the list of the slot's pairs, and the counts of those that are gone. A worker that has the pair in its hands at this very moment
// may still count a batch that is then in no sum. Plane.mu is held.
func (s *slot) join(c *pair) { s.pairs = append(s.pairs, c) }

func (s *slot) leave(c *pair) {
	s.pairs = slices.DeleteFunc(s.pairs, func(q *pair) bool { return q == c })
	s.past.add(c.stats())
}
