package ike

import (
	"io"
	"math"
	"time"

	"culvert/ike/timer"
)

// Defaults of RetransmitPlan.
const (
	defaultRetryFirst  = time.Second
	defaultRetryFactor = 1.8
	defaultRetryTries  = 6
)

// maxRetransmitPause bounds each pause of a plan, whatever its factor.
const maxRetransmitPause = 5 * time.Minute

// withDefaults returns the plan with defaults for unset fields.
func (p RetransmitPlan) withDefaults() RetransmitPlan {
	if p.First <= 0 {
		p.First = defaultRetryFirst
	}
	if p.Factor < 1 {
		p.Factor = defaultRetryFactor
	}
	if p.Tries <= 0 {
		p.Tries = defaultRetryTries
	}
	return p
}

// pause returns the time between the message's transmission number sent+1 and the next one, or, for
// sent == Tries, until it is given up. Up to a tenth of jitter is added, so that the peers of a
// crashed gateway do not call in step.
func (p RetransmitPlan) pause(sent int, rand io.Reader) time.Duration {
	d := float64(p.First) * math.Pow(p.Factor, float64(sent))
	if !(d < float64(maxRetransmitPause)) {
		d = float64(maxRetransmitPause)
	}
	return timer.Longer(time.Duration(d), rand)
}

// temporaryTries is how many TEMPORARY_FAILURE responses in a row are accepted: about three minutes
// of timer.TemporaryWait.
const temporaryTries = 40
