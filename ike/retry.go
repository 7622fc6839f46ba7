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

// maxRetransmitPause bounds a single pause of a plan, whatever its factor.
const maxRetransmitPause = 5 * time.Minute

// withDefaults fills in what is not set.
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

// pause is the time to wait after the message was sent for the (sent+1)-th time, before it is sent again or, once sent == Tries, given up.
// Up to a tenth of jitter is added, so that peers of one crashed gateway do not call in step.
func (p RetransmitPlan) pause(sent int, rand io.Reader) time.Duration {
	d := float64(p.First) * math.Pow(p.Factor, float64(sent))
	if !(d < float64(maxRetransmitPause)) {
		d = float64(maxRetransmitPause)
	}
	return longer(time.Duration(d), rand)
}

// The back-off between failed tries to bring a peer up.
const (
	reconnectFirst = 2 * time.Second
	reconnectMax   = time.Minute
)

// reconnectPause is the time to wait before trying again after so many failures in a row (at least one).
func reconnectPause(failures int, rand io.Reader) time.Duration {
	d := reconnectMax
	if shift := max(failures, 1) - 1; shift < 5 {
		d = min(reconnectFirst<<shift, reconnectMax)
	}
	return longer(d, rand)
}

// The wait before a request answered with TEMPORARY_FAILURE is tried again: "it MUST NOT immediately retry the operation [...] The recipient MAY retry
// the request one or more times over a period of several minutes" (RFC 7296, Section 2.25).
const (
	temporaryPause = 2 * time.Second
	temporaryTries = 40 // about three minutes
)

// temporaryWait is temporaryPause and up to twice as much again. The spread is wide, because refusals often come in pairs: each side is busy with what the other one
// refuses, and with equal pauses both would meet again and again.
func temporaryWait(rand io.Reader) time.Duration {
	return temporaryPause + fraction(2*temporaryPause, rand)
}

// longer is d and up to a tenth of it.
func longer(d time.Duration, rand io.Reader) time.Duration { return d + fraction(d/10, rand) }

// fraction is a random duration in [0, d]. Without randomness it is d: late rather than in step.
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
