package dataplane

import (
	"sync"

	"culvert/internal/ipsec"
)

// An events is the queue of events from the packet path to the control plane. It needs no bound of
// its own: each event is posted once for each SA or policy (marks on the pair, the slot's
// unanswered Acquire), a second PeerMoved of an SA replaces the first, a second EventUnsent of an
// SA is dropped, and so is a worker's second request for an SA of its own for a policy. That
// packets of a policy are not answered, or none come, or leave by a port that is blocked, takes
// seconds of each, and that the peer probes is posted once a second.
type events struct {
	wake chan struct{} // one slot

	mu     sync.Mutex
	list   []ipsec.Event
	moved  map[ipsec.ChildID]int      // place of an SA's PeerMoved in list
	unsent map[ipsec.ChildID]struct{} // SAs with an Unsent in list
	wanted map[wanted]struct{}        // requests in list of workers for SAs of their own
}

type wanted struct {
	policy   ipsec.PolicyID
	resource int
}

func newEvents() *events {
	return &events{wake: make(chan struct{}, 1), moved: make(map[ipsec.ChildID]int), unsent: make(map[ipsec.ChildID]struct{}), wanted: make(map[wanted]struct{})}
}

// post queues e and wakes the control plane. It blocks no longer than another post takes.
func (q *events) post(e ipsec.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.Kind == ipsec.EventPeerMoved {
		if i, ok := q.moved[e.ID]; ok {
			q.list[i] = e
			return
		}
		q.moved[e.ID] = len(q.list)
	}
	if e.Kind == ipsec.EventUnsent {
		if _, ok := q.unsent[e.ID]; ok {
			return
		}
		q.unsent[e.ID] = struct{}{}
	}
	if e.Resource > 0 {
		key := wanted{e.Policy, e.Resource}
		if _, ok := q.wanted[key]; ok {
			return
		}
		q.wanted[key] = struct{}{}
	}
	q.list = append(q.list, e)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *events) drain() []ipsec.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	clear(q.moved)
	clear(q.unsent)
	clear(q.wanted)
	return list
}

// Wake returns the channel that announces events for Drain. It has one slot: several events may
// share one wake-up.
func (p *Plane) Wake() <-chan struct{} { return p.events.wake }

// Drain returns and removes all events, oldest first. Any goroutine may call it.
func (p *Plane) Drain() []ipsec.Event { return p.events.drain() }
