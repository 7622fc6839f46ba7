// Package budget is the one room that says what anybody may cost a daemon that speaks IKE: a
// stranger, a host, a network, an entry of the configuration, an IKE SA. It counts slots, octets,
// computations and the time of the control goroutine.
//
//	who                       what                       room         beyond it
//	a host, a network, all    half-open IKE SAs          Newcomers    the request is dropped
//	the same                  octets of these, with      Newcomers    the same, or the fragments
//	                          their fragments                         are dropped
//	newcomers                 computations under way     Newcomers    a cookie is demanded
//	strangers                 of these, those that are   Newcomers    the request is dropped
//	                          dear
//	everybody                 unprotected errors, words  Unprotected  none is sent, or recorded
//	                          about refused calls
//	the IKE SAs of a party,   control, computations      Account      TEMPORARY_FAILURE, and then
//	and all of an entry                                               requests wait
//	a party                   lines of the log           Lines        counted in the next line
//
// The package reads no clock. Control time is counted in units of what requests cost when measured,
// not by a clock, so that the same inputs have the same outcome.
package budget

import "time"

// A Rate is what may be used: Burst units at once, and PerSecond in the long run.
type Rate struct{ Burst, PerSecond int }

// span returns the time in which units become free.
func (r Rate) span(units int) int64 { return int64(units) * int64(time.Second) / int64(r.PerSecond) }

// A Bucket is what is left of a Rate. The zero Bucket is full.
type Bucket struct{ full int64 } // when it will be full, in nanoseconds since 1970

// Has reports whether the bucket has the units. A clock that was set back empties it at worst.
func (b *Bucket) Has(now time.Time, r Rate, units int) bool {
	at := now.UnixNano()
	b.full = min(max(b.full, at), at+r.span(r.Burst))
	return b.full+r.span(units) <= at+r.span(r.Burst)
}

// Take takes the units out of the bucket if it has them, and reports whether it had.
func (b *Bucket) Take(now time.Time, r Rate, units int) bool {
	ok := b.Has(now, r, units)
	if ok {
		b.full += r.span(units)
	}
	return ok
}
