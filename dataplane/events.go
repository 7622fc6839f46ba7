package dataplane

import (
	"sync"

	"culvert/esp"
)

// events is what the packet path has to tell the control plane. It needs no bound of its own:
// whoever posts does so once for each SA or policy (marks on the pair, the slot's unanswered
// Acquire), a second PeerMoved of an SA replaces the first, a second SourceGone of one is none,
// and a worker that asks for an SA of its own for a policy is not heard twice.
type events struct {
	wake chan struct{} // one slot

	mu     sync.Mutex
	list   []esp.Event
	moved  map[esp.ChildID]int      // where an SA's PeerMoved stands in list
	gone   map[esp.ChildID]struct{} // of which a SourceGone is in list
	wanted map[wanted]struct{}      // by which worker an SA of its own is asked for in list
}

type wanted struct {
	policy   esp.Policy
	resource int
}

func newEvents() *events {
	return &events{wake: make(chan struct{}, 1), moved: make(map[esp.ChildID]int), gone: make(map[esp.ChildID]struct{}), wanted: make(map[wanted]struct{})}
}

// post queues e and wakes the control plane. It never blocks for longer than another post.
func (q *events) post(e esp.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.Kind == esp.EventPeerMoved {
		if i, ok := q.moved[e.ID]; ok {
			q.list[i] = e
			return
		}
		q.moved[e.ID] = len(q.list)
	}
	if e.Kind == esp.EventSourceGone {
		if _, ok := q.gone[e.ID]; ok {
			return
		}
		q.gone[e.ID] = struct{}{}
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

func (q *events) drain() []esp.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	clear(q.moved)
	clear(q.gone)
	clear(q.wanted)
	return list
}

// Wake tells that Drain has something. One slot: several events, one wake-up.
func (p *Plane) Wake() <-chan struct{} { return p.events.wake }

// Drain takes all events, oldest first. Any goroutine.
func (p *Plane) Drain() []esp.Event { return p.events.drain() }
