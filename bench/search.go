package bench

import (
	"math"
	"time"
)

// Trial is what came of offering datagrams at one rate for some time.
type Trial struct {
	Rate                  float64 // asked for, a second
	Sent, Received        uint64
	Reordered, Overflowed uint64        // see netlab.DatagramCount
	Took, Span            time.Duration // of sending, and until the last one arrived
	VPN, Machine          time.Duration // CPU time spent
}

// Loss is the fraction of what was sent that did not arrive.
func (t Trial) Loss() float64 {
	if t.Sent == 0 {
		return 1
	}
	return 1 - float64(t.Received)/float64(t.Sent)
}

// Delivered is how many arrived for each second, until the last one had: what queues held back and gave out late took its time.
func (t Trial) Delivered() float64 {
	if t.Span == 0 {
		return 0
	}
	return float64(t.Received) / t.Span.Seconds()
}

// enough is the part of the rate asked for that must really have been offered for a higher one to be worth asking for: the machine keeps the sender from running.
const enough = 0.8

func (t Trial) offered() bool { return float64(t.Sent) >= enough*t.Rate*t.Took.Seconds() }

// Search bounds a search for the highest rate that passes.
type Search struct {
	First      float64 // the rate tried first
	Least      float64 // below it nothing is tried: the answer is none
	MaxLoss    float64 // of a rate that passes
	Resolution float64 // the search ends when the rate is known to this fraction of it
	Trial      time.Duration
	Confirm    time.Duration // the length of a trial of the rate that was found
	Trials     int           // at most, all together
}

// searcher is a search under way. lo is the highest rate known to pass, hi the lowest known to fail or to be more than can be offered; 0 is none.
type searcher struct {
	Search
	try    func(rate float64, d time.Duration) (Trial, error)
	lo, hi float64
	best   Trial // of those that passed, the one that delivered most
	used   int
}

// confirmations are the trials that a search takes at most, beside its others, to confirm what it has found.
const confirmations = 12

// Highest searches by doubling and then by halving the interval, with short trials, a failing rate being tried twice, and the one that ends the search once more, as
// anything may disturb a trial; then it tries what it found for longer, and a little less again and again until that passes. It returns that last trial; a zero
// Trial, if nothing passed. try offers a rate for a time.
func (s Search) Highest(try func(rate float64, d time.Duration) (Trial, error)) (Trial, error) {
	r := searcher{Search: s, try: try}
	for again := true; again && r.used < r.Trials; {
		var err error
		if again, err = r.step(); err != nil {
			return Trial{}, err
		}
	}
	rate := r.best.Rate
	for i := 0; i < confirmations && rate >= r.Least; i++ {
		t, err := try(rate, r.Confirm)
		if err != nil || t.Loss() < r.MaxLoss {
			return t, err
		}
		rate *= 1 - max(r.Resolution, 0.02)*float64(i+1) // steps grow: how far the truth is below is not known
	}
	return Trial{}, nil
}

// done says whether the rate is known well enough, or known to be below the least.
func (r *searcher) done() bool {
	return r.hi > 0 && (r.hi <= r.Least || r.lo > 0 && r.hi/r.lo <= 1+r.Resolution)
}

func (r *searcher) next() float64 {
	switch {
	case r.lo == 0 && r.hi == 0:
		return r.First
	case r.hi == 0:
		return 2 * r.lo
	case r.lo == 0:
		return r.hi / 2
	}
	return math.Sqrt(r.lo * r.hi)
}

// step tries the next rate, and says whether the search goes on.
func (r *searcher) step() (again bool, err error) {
	if r.done() {
		// It all hangs on hi, which may have failed early and by bad luck.
		passed, err := r.attempt(r.hi)
		if passed {
			r.lo, r.hi = r.hi, 0
		}
		return passed, err
	}
	rate := r.next()
	for range 2 {
		passed, err := r.attempt(rate)
		if passed || err != nil {
			r.lo = rate
			return true, err
		}
		if r.best.Rate == rate {
			break // it could not be offered, and will not be
		}
	}
	r.hi = rate
	return true, nil
}

// attempt tries a rate once and says whether it was offered and passed.
func (r *searcher) attempt(rate float64) (bool, error) {
	r.used++
	t, err := r.try(rate, r.Trial)
	if err != nil || t.Loss() >= r.MaxLoss {
		return false, err
	}
	if t.Delivered() > r.best.Delivered() {
		r.best = t
	}
	return t.offered(), nil
}
