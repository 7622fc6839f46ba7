package tun

import (
	"errors"
	"time"
)

// retry is when to try again what the kernel refused.
type retry struct {
	at     time.Time // zero: nothing was
	last   time.Time
	pause  time.Duration
	logged string // the last error
}

// The pause before the next try doubles from firstRetry up to lastRetry.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

func (t *retry) failed(now time.Time) {
	if t.at.IsZero() {
		t.pause = min(max(2*t.pause, firstRetry), lastRetry)
	}
	t.at, t.last = now.Add(t.pause), now
}

// now reports whether it is time; hint: something changed that may have been in the way.
func (t *retry) now(now time.Time, hint bool) bool {
	if t.at.IsZero() || now.Before(t.at) && !(hint && now.Sub(t.last) >= firstRetry) {
		return false
	}
	t.at = time.Time{}
	return true
}

// essence returns what of an error is news if it differs.
func essence(err error) string {
	var part *Incomplete
	if errors.As(err, &part) && part.Remedy != "" {
		return part.Remedy
	}
	return err.Error()
}
