package bench

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// A link is a simulated link that delivers up to a capacity and drops the rest. Its sender can
// offer up to a rate.
type link struct {
	capacity, sender float64
	hiccup           func() bool // reports whether this trial is disturbed
	trials           int
	spent            time.Duration
}

func (l *link) try(rate float64, d time.Duration) (Trial, error) {
	l.trials++
	l.spent += d
	sent := min(rate, l.sender) * d.Seconds()
	received := min(sent, l.capacity*d.Seconds())
	if l.hiccup != nil && l.hiccup() {
		received *= 0.99
	}
	return Trial{Rate: rate, Sent: uint64(sent), Received: uint64(received), Took: d, Span: d}, nil
}

var search = Search{First: 8000, Least: 100, MaxLoss: 0.001, Resolution: 0.04, Trial: 400 * time.Millisecond, Confirm: 2 * time.Second, Trials: 40}

func TestSearchFindsTheCapacity(t *testing.T) {
	for _, capacity := range []float64{150, 900, 7900, 8000, 8100, 63_000, 250_000, 3_000_000} {
		l := link{capacity: capacity, sender: 1e9}
		got, err := search.Highest(l.try)
		if d := got.Delivered(); err != nil || d > capacity*1.001 || d < capacity*0.95 {
			t.Errorf("capacity %v: found %v (%v)", capacity, d, err)
		}
		if got.Loss() >= search.MaxLoss || got.Took != search.Confirm {
			t.Errorf("capacity %v: %+v is not a confirmed rate", capacity, got)
		}
		if l.trials > 32 || l.spent > 16*time.Second {
			t.Errorf("capacity %v took %d trials and %v", capacity, l.trials, l.spent)
		}
	}
}

func TestSearchEndsWhereTheSenderDoes(t *testing.T) {
	l := link{capacity: 1e9, sender: 300_000}
	got, err := search.Highest(l.try)
	if d := got.Delivered(); err != nil || d < 290_000 || d > 300_000 {
		t.Errorf("found %v (%v), want the sender's 300000", d, err)
	}
	if l.trials > 20 {
		t.Errorf("it took %d trials", l.trials)
	}
}

func TestSearchSurvivesHiccups(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		l := link{capacity: 100_000, sender: 1e9, hiccup: func() bool { return rng.Float64() < 0.1 }}
		got, err := search.Highest(l.try)
		if d := got.Delivered(); err != nil || d > 100_100 || d < 60_000 {
			t.Errorf("seed %d: found %v (%v), want about 100000", seed, d, err)
		}
	}
}

func TestSearchFindsNothing(t *testing.T) {
	l := link{capacity: 20, sender: 1e9}
	if got, err := search.Highest(l.try); err != nil || got != (Trial{}) {
		t.Errorf("got %+v, %v, want nothing", got, err)
	}
	always := link{capacity: 1e9, sender: 1e9, hiccup: func() bool { return true }}
	if got, err := search.Highest(always.try); err != nil || got != (Trial{}) {
		t.Errorf("got %+v, %v, want nothing", got, err)
	}
	if l.trials > search.Trials+confirmations || always.trials > search.Trials+confirmations {
		t.Errorf("%d and %d trials for nothing", l.trials, always.trials)
	}
}

func TestSearchIsBounded(t *testing.T) {
	s := search
	s.Trials, s.Resolution = 7, 0
	l := link{capacity: 123_456, sender: 1e9}
	if _, err := s.Highest(l.try); err != nil || l.trials > 7+1+confirmations {
		t.Errorf("%d trials, %v", l.trials, err)
	}
}

func TestSearchEndsAtAnError(t *testing.T) {
	gone, trials := errors.New("gone"), 0
	_, err := search.Highest(func(float64, time.Duration) (Trial, error) {
		trials++
		return Trial{}, gone
	})
	if !errors.Is(err, gone) || trials != 1 {
		t.Errorf("got %v after %d trials", err, trials)
	}
}
