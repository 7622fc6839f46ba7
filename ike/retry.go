package ike

import (
	"encoding/binary"
	"io"
	"math"
	"time"
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
	return longer(time.Duration(d), rand)
}

// The back-off between failed attempts to bring a peer up.
const (
	reconnectFirst = 2 * time.Second
	reconnectMax   = time.Minute
)

// reconnectPause returns the time before the next attempt after this many failures in a row.
func reconnectPause(failures int, rand io.Reader) time.Duration {
	d := reconnectMax
	if shift := max(failures, 1) - 1; shift < 5 {
		d = min(reconnectFirst<<shift, reconnectMax)
	}
	return longer(d, rand)
}

// The wait before a request answered with TEMPORARY_FAILURE is tried again: "it MUST NOT
// immediately retry the operation [...] The recipient MAY retry the request one or more times over
// a period of several minutes" (RFC 7296, Section 2.25).
const (
	temporaryPause = 2 * time.Second
	temporaryTries = 40 // about three minutes
)

// temporaryWait returns temporaryPause plus up to twice that. The spread is wide because refusals
// often come in pairs: each side is busy with what the other refuses, and with equal pauses both
// would collide again and again.
func temporaryWait(rand io.Reader) time.Duration {
	return temporaryPause + fraction(2*temporaryPause, rand)
}

// longer returns d plus up to a tenth of it.
func longer(d time.Duration, rand io.Reader) time.Duration { return d + fraction(d/10, rand) }

// fraction returns a random duration in [0, d]. Without randomness it returns d: rather late than
// in step.
func fraction(d time.Duration, rand io.Reader) time.Duration {
	var b [8]byte
	if d <= 0 {
		return 0
	}
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return d
	}
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(d+1))
}
