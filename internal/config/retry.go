package config

import (
	"time"

	"culvert/ike/timer"
	"culvert/ike/window"
)

const (
	// minPause is the least pause before anything is sent again: less would be answered late on
	// many paths.
	minPause = 100 * time.Millisecond
	// minRetry is the least pause between tries to connect.
	minRetry  = 500 * time.Millisecond
	maxFactor = 10
	maxTries  = 30
)

// retransmit reads how requests are repeated.
func (s section) retransmit() window.RetransmitPlan {
	def := window.RetransmitPlan{}.WithDefaults()
	t := s.subtable("retransmit", retransmitKeys)
	return window.RetransmitPlan{
		First:  t.duration("first", def.First, minPause, false),
		Factor: t.fraction("factor", def.Factor, 1, maxFactor),
		Tries:  int(t.number("tries", int64(def.Tries), 1, maxTries)),
	}
}

// retry reads the pauses between tries to connect.
func (s section) retry() timer.Backoff {
	t := s.subtable("retry", retryKeys)
	b := timer.Backoff{
		First: t.duration("first", timer.ReconnectFirst, minRetry, false),
		Max:   t.duration("max", timer.ReconnectMax, minRetry, false),
	}
	if b.First > b.Max {
		if t.has("max") {
			t.fail("max", "max = %q is shorter than first, which is %v; use at least that", t.text("max", ""), b.First)
		}
		b.Max = b.First
	}
	return b
}
