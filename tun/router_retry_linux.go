package tun

import (
	"errors"
	"time"
)

// A retry holds the time of the next try after a refusal of the kernel.
type retry struct {
	at     time.Time // zero: nothing to try again
	last   time.Time // of the last refusal
	pause  time.Duration
	logged string // essence of the last error that was logged or returned
}

// The pause before the next try doubles from firstRetry up to lastRetry.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// failed records a refusal. Further ones before the next try do not lengthen the pause.
func (t *retry) failed(now time.Time) {
	if t.at.IsZero() {
		t.pause = min(max(2*t.pause, firstRetry), lastRetry)
	}
	t.at, t.last = now.Add(t.pause), now
}

// now reports whether it is time for the next try. With hint, after a change that may have removed
// the cause, it already is when firstRetry has passed since the last refusal.
func (t *retry) now(now time.Time, hint bool) bool {
	if t.at.IsZero() || now.Before(t.at) && !(hint && now.Sub(t.last) >= firstRetry) {
		return false
	}
	t.at = time.Time{}
	return true
}

// essence returns the part of an error whose difference is worth a log line.
func essence(err error) string {
	var part *Incomplete
	if errors.As(err, &part) && part.Remedy != "" {
		return part.Remedy
	}
	return err.Error()
}
