package child

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/identity"
	"culvert/selector"
)

// This file is what commands, packets and the configuration ask of a policy.

// Start wants the policy up, at once and as configured. If it comes up, it is brought up again
// whenever it is lost, until Stop or Hold, also with StartNever.
func (pol *Policy) Start() {
	pol.base, pol.want, pol.asked = intentOf(pol.Settings.Start), true, true
	pol.retry.At = time.Time{}
	pol.askPartsAgain()
	if pol.Up() {
		pol.raise()
	}
}

// Follow wants what an earlier policy with other settings wanted, in whose place this one is.
func (pol *Policy) Follow(old *Policy) {
	if !old.Wanted() {
		return
	}
	pol.want, pol.asked = true, old.asked
	if old.base == IntentUp {
		pol.raise()
	}
}

// raise has a policy that a command asked for stay up.
func (pol *Policy) raise() {
	if pol.asked && pol.base == IntentDown {
		pol.base = IntentUp
	}
}

// Stop ends what asked for the policy so far. The pairs stay until DeleteAll or the end of their
// carriers. A policy that should always be up is tried again after a pause.
func (pol *Policy) Stop() {
	pol.base, pol.want, pol.retry.At = intentOf(pol.Settings.Start), false, time.Time{}
	pol.restart, pol.asked = false, false
	pol.forget()
	if pol.base == IntentUp {
		pol.want = true
		pol.pause(pol.owner.Backoff().Pause(1, pol.table.host.Rand()))
	}
}

// Hold keeps the policy down until Release, whatever asks for it. It sends on no pair any more; the
// pairs stay until DeleteAll or the end of their carriers.
func (pol *Policy) Hold() {
	pol.held, pol.want, pol.restart, pol.asked = true, false, false, false
	pol.forget()
	for _, p := range pol.Pairs() {
		p.quiet()
	}
}

// Held reports whether the policy is held down.
func (pol *Policy) Held() bool { return pol.held }

// Release ends a Hold. The policy comes up as configured.
func (pol *Policy) Release() {
	pol.held, pol.retry.At = false, time.Time{}
	pol.base = intentOf(pol.Settings.Start)
	pol.want = pol.base == IntentUp
	pol.owner.Touch()
}

// Adopt takes other settings with the same networks. The pairs stay: proposals, lifetimes and the
// replay window are those of the next ones. Another start is in force at once, but takes nothing
// down that is up.
func (pol *Policy) Adopt(s Settings) {
	if s.Start != pol.Settings.Start {
		pol.base = intentOf(s.Start)
		pol.want = pol.want || pol.base == IntentUp
	}
	pol.Settings = s
	if pol.Up() {
		pol.raise()
	}
}

// Close ends all tries for a policy that is no longer configured.
func (pol *Policy) Close() {
	pol.want, pol.restart, pol.closed = false, false, true
	pol.table.stop(&pol.retry.Timer)
	pol.table.stop(&pol.rest.timer)
	pol.forget()
}

// forget drops the packets that wait for the policy.
func (pol *Policy) forget() {
	if pol.flow != nil {
		pol.flow = nil
		pol.table.host.AcquireFailed(pol.ID)
	}
}

// DeleteAll deletes the pairs of the policy. The returned function reports whether they have ended.
func (pol *Policy) DeleteAll(why string) (ended func() bool) {
	list := pol.Pairs()
	for _, p := range list {
		p.Delete(EndLocal, why)
	}
	return func() bool {
		return !slices.ContainsFunc(list, func(p *Pair) bool { return !p.state.Ended() })
	}
}

// Rekey rekeys every pair that the policy sends on, and answers the command when all are replaced,
// or at the first error.
func (pol *Policy) Rekey(ref uint64) {
	var list []*Pair
	for _, l := range pol.chains() {
		if q := l.Best(); q != nil {
			q.refs = append(q.refs, ref)
			list = append(list, q)
		}
	}
	if len(list) == 0 {
		pol.table.host.Done(ref, fmt.Errorf("child %s is not up", identity.Quote(pol.Settings.Name)))
		return
	}
	if len(list) > 1 {
		pol.table.parts[ref] = &parts{left: len(list)}
	}
	for _, q := range list {
		q.Expiring()
	}
}

// Acquire handles a packet without an SA. The answer is a pair or AcquireFailed. With a resource
// there are pairs, but none for this worker, which is counted from 1.
func (pol *Policy) Acquire(f selector.Flow, resource int) {
	now := pol.table.host.Now()
	switch {
	case resource > 0 && !pol.held:
		pol.acquireResource(resource)
	case resource > 0:
	case pol.held || pol.owner.Closed() || pol.base == IntentDown && !pol.want:
		pol.table.host.AcquireFailed(pol.ID)
	case pol.Up() && !pol.carries(&f):
		pol.acquirePart(f)
	case pol.Up():
		// The SA came up while the report was under way. If the peer may not have it yet, the
		// packet waits.
		if p := pol.bestFor(&f); p.creator || now.Sub(p.dates.born) >= useDelay {
			p.activate()
		}
	case pol.want || pol.busy:
		pol.remember(f)
	case now.Before(pol.retry.At) || pol.owner.Pausing():
		pol.table.host.AcquireFailed(pol.ID)
	default:
		pol.want = true
		pol.remember(f)
	}
}

// remember records the first packet that waits for the policy.
func (pol *Policy) remember(f selector.Flow) {
	if pol.flow == nil {
		pol.flow = &f
	}
	pol.owner.Touch()
}
