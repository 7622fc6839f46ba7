package budget

import "time"

// A Cost is what a request of an authenticated peer costs.
type Cost struct {
	Control int // units of about 10 us of the control goroutine
	Compute int // units of one quick key exchange
}

// What requests cost.
var (
	Cheap     = Cost{Control: 1}              // one that is only answered
	Negotiate = Cost{Control: 10}             // one that may make an SA
	Exchange  = Cost{Control: 10, Compute: 1} // with a key exchange
	Dear      = Cost{Control: 10, Compute: 8} // with one of a large MODP group
)

// What the IKE SAs of a party, one as a rule, and all IKE SAs of an entry may cost. At once a party
// may rekey 256 Child SAs twice, each with its deletion, and in the long run it has one percent of
// the control goroutine. An entry has a fifth: 1,800 rekeyings in a second, or 512 with a key
// exchange.
var (
	partyControl = Rate{Burst: 2 * 256 * (10 + 1), PerSecond: 1000}
	partyCompute = Rate{Burst: 2 * 256, PerSecond: 32}
	entryControl = Rate{Burst: 8 * 2 * 256 * (10 + 1), PerSecond: 20000}
	entryCompute = Rate{Burst: 8 * 2 * 256, PerSecond: 512}
)

// An Account is what a party, or an entry, has left. A party's is that of all its IKE SAs: a
// rekeyed or second one brings nothing more. The zero Account is full.
type Account struct{ control, compute Bucket }

// Charge takes the cost of a request from the account of the party and from that of its entry, if
// both have it, and reports whether they had. Otherwise it takes nothing.
func Charge(now time.Time, party, entry *Account, c Cost) bool {
	if !party.has(now, partyControl, partyCompute, c) || !entry.has(now, entryControl, entryCompute, c) {
		return false
	}
	party.take(now, partyControl, partyCompute, c)
	entry.take(now, entryControl, entryCompute, c)
	return true
}

func (a *Account) has(now time.Time, control, compute Rate, c Cost) bool {
	return a.control.Has(now, control, c.Control) && a.compute.Has(now, compute, c.Compute)
}

func (a *Account) take(now time.Time, control, compute Rate, c Cost) {
	a.control.Take(now, control, c.Control)
	if c.Compute > 0 {
		a.compute.Take(now, compute, c.Compute)
	}
}

// lines is what a party may write to the log: all its Child SAs may come and go twice.
var lines = Rate{Burst: 4 * 256, PerSecond: 5}

// Lines are the lines of the log that a party has left. The zero Lines are full.
type Lines struct {
	bucket Bucket
	more   int
}

// Allow reports whether a line may be written, and how many were not since the last one.
func (l *Lines) Allow(now time.Time) (more int, ok bool) {
	if !l.bucket.Take(now, lines, 1) {
		l.more++
		return 0, false
	}
	more, l.more = l.more, 0
	return more, true
}
