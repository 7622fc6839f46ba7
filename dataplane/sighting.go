package dataplane

import (
	"slices"
	"sync"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// A Sighting is the last packet that was dropped for a reason and a policy, as an example for
// people: a count does not tell which flow it hit.
type Sighting struct {
	Reason string         // as in Counters
	Drop   string         // as in ChildStats; "": not counted by policy
	Policy ipsec.PolicyID // 0: no policy covers the packet
	Flow   selector.Flow  // as the packet has it: of one from a peer, the peer's side is the source
	At     time.Time
}

const (
	// sightEvery is the least time between two sightings of a worker and reason, so that a flood of
	// drops costs no more than its counts.
	sightEvery = 100 * time.Millisecond
	// maxSightings bounds the sightings of a reason. The oldest gives way to another policy's.
	maxSightings = 16
)

// sightings holds the last packets that were dropped.
type sightings struct {
	mu   sync.Mutex
	seen [numReasons][]Sighting
}

// add records a sighting in place of the last one of its policy.
func (s *sightings) add(r reason, seen Sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.seen[r]
	at := slices.IndexFunc(list, func(o Sighting) bool { return o.Policy == seen.Policy })
	switch {
	case at >= 0:
		list = slices.Delete(list, at, at+1)
	case len(list) == maxSightings:
		list = slices.Delete(list, 0, 1)
	}
	s.seen[r] = append(list, seen)
}

// Sightings returns the last packets that were dropped, at most 16 of each reason. Any goroutine
// may call it.
func (p *Plane) Sightings() (list []Sighting) {
	p.sightings.mu.Lock()
	defer p.sightings.mu.Unlock()
	for _, seen := range p.sightings.seen {
		list = append(list, seen...)
	}
	return list
}

// sight records a packet that was dropped, unless one was recorded just before for the reason.
func (th *thread) sight(r reason, policy ipsec.PolicyID, flow *selector.Flow) {
	if th.nowNano-th.sighted[r] < int64(sightEvery) {
		return
	}
	th.sighted[r] = th.nowNano
	th.plane.sightings.add(r, Sighting{Reason: reasonNames[r].plane, Drop: reasonNames[r].child, Policy: policy, Flow: *flow, At: th.now})
}
