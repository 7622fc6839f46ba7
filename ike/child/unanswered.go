package child

import (
	"errors"
	"fmt"
	"time"

	"culvert/ike/timer"
)

// A peer may answer everything but a request for a Child SA beside those it has. Such a request
// costs the carrier, since the next one waits behind it, and another carrier does not help. So what
// was not answered is asked for again after a pause that grows, as long as the carrier has other
// pairs, which go on working.

// firstUnanswered and mostUnanswered bound that pause.
const firstUnanswered, mostUnanswered = 5 * time.Minute, time.Hour

// unanswered is what is known of requests for a policy that were not answered.
type unanswered struct {
	times int // in a row
	until time.Time
	timer timer.Timer
}

// Unanswered records that the peer does not answer a request for a pair of the policy, its first
// one or a part of it, on a carrier that has others. Whatever waits for it is told so.
func (pol *Policy) Unanswered() {
	u, t := &pol.unanswered, pol.table
	pause := timer.Longer(min(firstUnanswered<<min(u.times, 10), mostUnanswered), t.host.Rand())
	u.times++
	u.until = t.host.Now().Add(pause)
	t.after(&u.timer, pause)
	what := "a Child SA"
	if pol.Up() {
		what = "a Child SA for a further part of the networks"
	}
	why := fmt.Sprintf("the peer does not answer the request for %s; it is asked for again after %s", what, pause.Round(time.Second))
	pol.owner.Report(Report{Policy: pol, Warn: true, Event: "child-unanswered", Text: why})
	if pol.Up() {
		t.host.AcquireFailed(pol.ID)
		return
	}
	pol.Reason = why
	pol.GiveUp(errors.New(why))
}

// Answered records that the peer answers requests for a pair of the policy.
func (pol *Policy) Answered() {
	pol.unanswered.times, pol.unanswered.until = 0, time.Time{}
	pol.table.stop(&pol.unanswered.timer)
}

// UnansweredUntil returns the end of that pause, or zero.
func (pol *Policy) UnansweredUntil() time.Time { return pol.unanswered.until }

// Shunned reports whether no request for the policy is to be made now, as the peer did not answer
// the last one. Without a carrier that has pairs there is nothing to lose by one.
func (pol *Policy) Shunned() bool {
	if !pol.table.host.Now().Before(pol.unanswered.until) {
		return false
	}
	c := pol.owner.Carrier()
	return c != nil && len(c.Children().Pairs()) > 0
}
