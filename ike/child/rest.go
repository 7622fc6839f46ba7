package child

import (
	"slices"

	"culvert/ike/timer"
)

// A policy that should always be up, and of which each pair of networks has a Child SA of its own,
// asks for all of them: the rest, one after the other, as soon as the first one is up. They are
// parts of the policy.

// rest is what is known about the pairs of networks that are still to be asked for.
type rest struct {
	complete bool     // there are none, as far as pairs came and went since
	refused  []*grant // what was asked for and not granted; it is asked for again after a pause
	fails    int      // such pauses in a row
	timer    timer.Timer
}

// wantsAll reports whether each pair of networks should have a Child SA without a packet for it.
func (pol *Policy) wantsAll() bool {
	return pol.granularity() == perNetworks && (pol.base == IntentUp || pol.asked) && pol.Wanted() && !pol.closed && !pol.owner.Closed()
}

// AskRest requests a Child SA for the next pair of networks that has none.
func (pol *Policy) AskRest() {
	if pol.rest.complete || !pol.wantsAll() || !pol.Up() || pol.rest.timer.Running() {
		return
	}
	if slices.ContainsFunc(pol.Parts(), func(l *Chain) bool { return l.state != chainSettled }) {
		return
	}
	touched := pol.toucher()
	for g := range pol.networkPairs() {
		if touched(g) || slices.ContainsFunc(pol.rest.refused, g.equal) {
			continue
		}
		l := &Chain{policy: pol, pair: g, state: chainQueued}
		pol.more = append(pol.more, l)
		pol.owner.Carrier().Request(l)
		return
	}
	if len(pol.rest.refused) == 0 {
		pol.rest.complete, pol.rest.fails = true, 0
		return
	}
	pol.rest.fails++
	pol.pauseRest(pol.rest.fails)
}

// deferRest has the rest asked for after a pause: the peer deleted a Child SA, and may do so again.
func (pol *Policy) deferRest() {
	if pol.wantsAll() {
		pol.pauseRest(1)
	}
}

func (pol *Policy) pauseRest(fails int) {
	pol.table.after(&pol.rest.timer, pol.owner.Backoff().Pause(fails, pol.table.host.Rand()))
}

// askRestAgain has all that is missing asked for, also what was refused.
func (pol *Policy) askRestAgain() {
	pol.rest.refused, pol.rest.complete = nil, false
	pol.owner.Touch()
}
