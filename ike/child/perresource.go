package child

import (
	"slices"
	"time"

	"culvert/ike/timer"
)

// Child SAs for single resources (RFC 9611). A resource is a worker of the dataplane. Workers with
// SAs of their own neither wait for each other's sequence numbers nor share a replay window.

// group is what is known about a policy's Child SAs for single resources.
type group struct {
	able      bool      // both sides agreed to more than one
	notBefore time.Time // no further one is requested before this time
}

// resourcePause is how long a peer that refused a further Child SA is not asked again. TS_MAX_QUEUE
// means that the peer wants no more of them for these selectors (RFC 9611), but does not tell for
// how long. A rekeying may be what fills the queue.
const resourcePause = 10 * time.Minute

// acquireResource requests a Child SA for a worker. The policy has others to send on, so nothing
// waits for this one.
func (pol *Policy) acquireResource(resource int) {
	c := pol.owner.Carrier()
	if resource > pol.table.host.Workers() || c == nil || pol.main.On(c) == nil || !pol.mayAsk() {
		return
	}
	if slices.ContainsFunc(pol.more, func(l *Chain) bool { return l.resource == resource }) {
		return
	}
	l := &Chain{policy: pol, resource: resource, state: chainQueued}
	pol.more = append(pol.more, l)
	c.Request(l)
}

func (pol *Policy) mayAsk() bool {
	return pol.group.able && pol.want && !pol.owner.Closed() && !pol.table.host.Now().Before(pol.group.notBefore)
}

// NoFurther records that the peer does not make pairs for single resources.
func (pol *Policy) NoFurther() { pol.group.able = false }

// Needless reports whether, when the turn of the request for the chain's first pair comes, it is no
// longer needed on the carrier: the pair beside it is gone, or the worker or the packet got one
// that the peer made.
func (l *Chain) Needless(c Carrier) bool {
	if l.IsPart() {
		return l.needlessPart()
	}
	pol := l.policy
	return pol.main.On(c) == nil || !pol.mayAsk() || slices.ContainsFunc(pol.more, func(other *Chain) bool {
		return other != l && other.resource == l.resource
	})
}

// FreeChain returns a new chain for a Child SA of the peer, for the worker that has the fewest (RFC
// 9611, Section 4). A worker's own request that is outstanding counts as one. A worker whose
// request is still queued comes first.
func (pol *Policy) FreeChain() *Chain {
	load := make([]int, max(1, pol.table.host.Workers()))
	for _, l := range pol.more {
		if l.resource == 0 {
			continue
		}
		if l.state == chainQueued {
			load[l.resource-1]--
			continue
		}
		load[l.resource-1] += 2
	}
	return &Chain{policy: pol, resource: 1 + slices.Index(load, slices.Min(load))}
}

// Asking records that our request for the chain's first pair is under way.
func (l *Chain) Asking() { l.state = chainAsking }

// Failed records that a Child SA for a worker was refused.
func (l *Chain) Failed(t Trouble) {
	l.Pause(timer.Longer(resourcePause, l.policy.table.host.Rand()))
	l.refused("resource-failed", t)
}

// Pause has the policy request no Child SA for a single resource for d.
func (l *Chain) Pause(d time.Duration) { l.policy.group.notBefore = l.policy.table.host.Now().Add(d) }

// RequestEnded records that our request for the chain's first pair has ended, whatever its outcome.
func (l *Chain) RequestEnded() {
	if l.state != chainMerged {
		l.state = chainSettled
	}
	l.tidy()
	if l.pair != nil {
		l.policy.owner.Touch() // for the next one
	}
	if l.flow != nil && !l.Carries() {
		l.policy.table.host.AcquireFailed(l.policy.ID)
	}
}
