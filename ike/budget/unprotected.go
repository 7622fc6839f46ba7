package budget

import "time"

// Unprotected bounds what messages outside of every IKE SA can make us do (RFC 7296, Sections 1.5
// and 2.21.4).
type Unprotected struct {
	errors   rate
	refusals [2]rate // of strangers, and of calls from configured addresses
}

const (
	// maxErrors is the number of unprotected errors that we send in a second at most (RFC 7296,
	// Section 2.21.4, requires a limit).
	maxErrors = 10
	// MaxRefusals is the number of refused calls in a second that are explained to operators at
	// most, of strangers and of configured addresses each. Comparing with thousands of proposals
	// costs more than the refusal, and each explanation may become a line of the log.
	MaxRefusals = 10
)

// AllowError counts an unprotected error, and reports whether it may be sent.
func (u *Unprotected) AllowError(now time.Time) bool { return u.errors.allow(now, maxErrors) }

// AllowRefusal counts the explanation of a refused call, from a configured address or a
// stranger's, and reports whether it may be made.
func (u *Unprotected) AllowRefusal(now time.Time, configured bool) bool {
	which := 0
	if configured {
		which = 1
	}
	return u.refusals[which].allow(now, MaxRefusals)
}

// A rate counts events within one second.
type rate struct {
	second time.Time
	count  int
}

// allow counts an event, and reports whether the second has had no more than most.
func (r *rate) allow(now time.Time, most int) bool {
	if now.Sub(r.second) >= time.Second || now.Before(r.second) {
		r.second, r.count = now, 0
	}
	r.count++
	return r.count <= most
}
