package dataplane

import (
	"cmp"
	"slices"

	"culvert/selector"
)

// An outboundSelection holds the active outbound SAs of a policy. Published, it is immutable.
type outboundSelection struct {
	// shared are bound to no worker, newest first: usually one, two while a rekey's old SA awaits
	// its Delete, and more where the peer narrows every SA to the packet that triggered it (RFC
	// 7296, Section 2.9).
	shared []outboundSA
	// workers is nil unless the peer makes SAs for single workers (RFC 9611).
	workers *workerSelection
}

// A workerSelection holds what belongs to single workers.
type workerSelection struct {
	own    [][]outboundSA   // by worker, each newest first
	demand []resourceDemand // by worker; kept from one selection to the next
}

// An outboundSA is one active SA of a slot.
type outboundSA struct {
	pair *pair
	// covers is the Order of the entry whose selectors this SA's cover, so that they need no match
	// per packet; 0: none. A worker that found the policy in an older SPD matches them.
	covers uint64
}

// noWorker stands for no particular worker.
const noWorker = -1

// first returns the SA that represents the policy: the newest of the shared ones, else that of the
// first worker that has one, else nil.
func (set *outboundSelection) first() *pair {
	if len(set.shared) > 0 {
		return set.shared[0].pair
	}
	if set.workers != nil {
		for _, list := range set.workers.own {
			if len(list) > 0 {
				return list[0].pair
			}
		}
	}
	return nil
}

// all returns every active SA.
func (set *outboundSelection) all() []outboundSA {
	list := slices.Clone(set.shared)
	if set.workers != nil {
		for _, own := range set.workers.own {
			list = append(list, own...)
		}
	}
	return list
}

// publish makes list the slot's active SAs, for the given number of workers. Plane.mu is held.
func (s *slot) publish(list []outboundSA, workers int) {
	slices.SortFunc(list, func(a, b outboundSA) int { return cmp.Compare(b.pair.sa.ID, a.pair.sa.ID) })
	set := &outboundSelection{}
	if slices.ContainsFunc(list, func(sa outboundSA) bool { return sa.pair.sa.PerResource || sa.pair.sa.Resource > 0 }) {
		set.workers = s.sas.Load().workers.next(workers)
	}
	for _, sa := range list {
		if at := sa.pair.sa.Resource - 1; at >= 0 {
			set.workers.own[at] = append(set.workers.own[at], sa)
			continue
		}
		set.shared = append(set.shared, sa)
	}
	s.sas.Store(set)
}

// next returns a selection without SAs that keeps the demand of ws, which may be nil.
func (ws *workerSelection) next(workers int) *workerSelection {
	n := &workerSelection{own: make([][]outboundSA, workers)}
	if ws != nil {
		n.demand = ws.demand
	} else {
		n.demand = make([]resourceDemand, workers)
	}
	return n
}

// activate adds p to the slot's active SAs. An older pair that is activated late goes behind the
// newer ones, which keep the traffic: the late loser of a rekey collision changes nothing. Plane.mu
// is held.
func (s *slot) activate(p *pair, workers int) {
	list := s.sas.Load().all()
	if slices.ContainsFunc(list, func(sa outboundSA) bool { return sa.pair == p }) {
		return
	}
	s.publish(append(list, outboundSA{p, s.covers(p)}), workers)
}

// deactivate removes p from the slot's active SAs. Plane.mu is held.
func (s *slot) deactivate(p *pair, workers int) {
	list := s.sas.Load().all()
	if i := slices.IndexFunc(list, func(sa outboundSA) bool { return sa.pair == p }); i >= 0 {
		s.publish(slices.Delete(list, i, i+1), workers)
	}
}

// setEntry gives the slot its policy's selectors. Plane.mu is held.
func (s *slot) setEntry(e selector.Entry[target], workers int) {
	s.entry, s.configured = e, true
	s.noise.Store(newNamers(e.Local, e.Remote))
	list := s.sas.Load().all()
	if len(list) == 0 {
		return
	}
	for i := range list {
		list[i].covers = s.covers(list[i].pair)
	}
	s.publish(list, workers)
}

// covers returns the Order of the slot's entry if every packet of the policy may go through p, else
// 0. Plane.mu is held.
func (s *slot) covers(p *pair) uint64 {
	if s.configured && covered(s.entry.Local, p.sa.LocalTS) && covered(s.entry.Remote, p.sa.RemoteTS) {
		return s.entry.Order
	}
	return 0
}

// covered reports whether each selector of list lies within one of by. It misses a selector that
// only several of by cover together; the cost is a match per packet.
func covered(list, by []selector.Selector) bool {
	for _, s := range list {
		if !slices.ContainsFunc(by, func(c selector.Selector) bool { return c.Covers(s) }) {
			return false
		}
	}
	return true
}
