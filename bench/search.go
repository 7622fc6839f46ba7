package bench

import (
	"math"
	"time"
)

// A Trial is the result of offering datagrams at one rate for some time.
type Trial struct {
	Rate                  float64 // asked for, per second
	Sent, Received        uint64
	Reordered, Overflowed uint64        // see netlab.DatagramCount
	Took, Span            time.Duration // until the last was sent; until the last arrived
	VPN, Machine          time.Duration // CPU time spent
}

// Loss returns the fraction of the sent datagrams that did not arrive, 1 if none was sent.
func (t Trial) Loss() float64 {
	if t.Sent == 0 {
		return 1
	}
	return 1 - float64(t.Received)/float64(t.Sent)
}

// Delivered returns the datagrams that arrived per second, counted until the last arrival, so that
// datagrams delayed in queues count with their delay.
func (t Trial) Delivered() float64 {
	if t.Span == 0 {
		return 0
	}
	return float64(t.Received) / t.Span.Seconds()
}

// enough is the least part of the requested rate that the sender must reach for a higher rate to be
// worth a trial. The machine may keep the sender from running.
const enough = 0.8

func (t Trial) offered() bool { return float64(t.Sent) >= enough*t.Rate*t.Took.Seconds() }

// A Search is the bounds of a search for the highest rate that passes.
type Search struct {
	First      float64 // rate of the first trial
	Least      float64 // lowest rate to try
	MaxLoss    float64 // a rate passes with less
	Resolution float64 // the search ends when the rate is known to this fraction
	Trial      time.Duration
	Confirm    time.Duration // length of the trials that confirm the result
	Trials     int           // at most, without those that confirm
}

// A searcher is the state of a search. lo is the highest rate known to pass, hi the lowest known to
// fail or to exceed what the sender can offer; 0 means unknown.
type searcher struct {
	Search
	try    func(rate float64, d time.Duration) (Trial, error)
	lo, hi float64
	best   Trial // passed, and delivered most
	used   int
}

// confirmations is the maximum number of trials that confirm the result.
const confirmations = 12

// Highest searches by doubling the rate and then by bisection, with short trials. Since anything
// may disturb a trial, a failing rate is tried twice, and the one that ends the search once more.
// The result is confirmed by longer trials, at falling rates until one passes. Highest returns the
// last trial, or a zero Trial if none passed. try offers a rate for a time.
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
		rate *= 1 - max(r.Resolution, 0.02)*float64(i+1) // growing steps: the distance to the true rate is unknown
	}
	return Trial{}, nil
}

// done reports whether the rate is known to the resolution, or known to be below the least.
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

// step tries the next rate. It reports whether the search continues.
func (r *searcher) step() (again bool, err error) {
	if r.done() {
		// The result depends on hi, which may have failed by chance.
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
			break // passed, but the sender did not reach it
		}
	}
	r.hi = rate
	return true, nil
}

// attempt tries a rate once. It reports whether the rate was offered and passed.
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
