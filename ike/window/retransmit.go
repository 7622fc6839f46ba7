package window

import (
	"io"
	"math"
	"time"

	"culvert/ike/timer"
)

// A RetransmitPlan is the back-off of requests: pauses of First, First*Factor and so on, for Tries
// retransmissions (RFC 7296, Section 2.4). Then the IKE SA is given up. Up to a tenth of jitter is
// added to each pause.
type RetransmitPlan struct {
	First  time.Duration
	Factor float64
	Tries  int
}

// The default plan gives up after about 75 seconds.
const (
	defaultFirst  = time.Second
	defaultFactor = 1.8
	defaultTries  = 6
)

// MaxPause bounds each pause of a plan, whatever its factor, before jitter.
const MaxPause = 5 * time.Minute

// Or returns the plan with the fields of def where it has none.
func (p RetransmitPlan) Or(def RetransmitPlan) RetransmitPlan {
	if p.First <= 0 {
		p.First = def.First
	}
	if p.Factor < 1 {
		p.Factor = def.Factor
	}
	if p.Tries <= 0 {
		p.Tries = def.Tries
	}
	return p
}

// WithDefaults returns the plan with defaults for unset fields.
func (p RetransmitPlan) WithDefaults() RetransmitPlan {
	return p.Or(RetransmitPlan{First: defaultFirst, Factor: defaultFactor, Tries: defaultTries})
}

// AtMost returns the plan with no more than the given number of retransmissions.
func (p RetransmitPlan) AtMost(tries int) RetransmitPlan {
	p.Tries = min(p.Tries, tries)
	return p
}

// Within returns the plan with its pauses shortened in proportion, so that it gives up within
// total, before jitter. A plan that is quick enough stays as it is.
func (p RetransmitPlan) Within(total time.Duration) RetransmitPlan {
	sum := 0.0
	for n := range p.Tries + 1 {
		sum += float64(p.First) * math.Pow(p.Factor, float64(n))
	}
	if sum > float64(total) {
		p.First = time.Duration(float64(p.First) * float64(total) / sum)
	}
	return p
}

// Until returns the time from the first transmission to the retransmission of a number, before
// jitter.
func (p RetransmitPlan) Until(repeated int) (total time.Duration) {
	for n := range repeated {
		total += p.pause(n)
	}
	return total
}

// Pause returns the time between the request's transmission number repeated+1 and the next one, or,
// for repeated == Tries, until it is given up. The jitter keeps the peers of a crashed gateway from
// calling in step.
func (p RetransmitPlan) Pause(repeated int, rand io.Reader) time.Duration {
	return timer.Longer(p.pause(repeated), rand)
}

// pause is Pause without the jitter.
func (p RetransmitPlan) pause(repeated int) time.Duration {
	d := float64(p.First) * math.Pow(p.Factor, float64(repeated))
	if !(d < float64(MaxPause)) {
		d = float64(MaxPause)
	}
	return time.Duration(d)
}

// Unanswered notes that the outstanding request has waited for its response for a whole pause. It
// reports whether the request is to be sent again. If not, all its retransmissions were made, and
// it was withdrawn. A patient owner goes on for as long as it takes, with the last pause.
func (w *Window[Path]) Unanswered(p RetransmitPlan, patient bool) (again bool) {
	switch {
	case w.out.Repeated < p.Tries:
		w.out.Repeated++
	case !patient:
		w.Withdraw()
		return false
	}
	return true
}

// Exhausted reports whether the outstanding request has had all its retransmissions.
func (w *Window[Path]) Exhausted(p RetransmitPlan) bool { return w.out.Repeated >= p.Tries }
