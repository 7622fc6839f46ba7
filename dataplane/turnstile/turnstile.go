// Package turnstile keeps threads that work in parallel in order. A turn for which nobody waits
// costs an atomic load and a store.
package turnstile

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A Turnstile lets the holders of tickets through in the order of their numbers. The zero value
// lets ticket 0 through.
//
// Each SA has one. It keeps the SA's packets in the order of their sequence numbers when several
// workers send on it: a peer's replay window may be as small as 32 packets (RFC 4303, Section
// 3.4.3). The sequence numbers are the tickets. Workers reserve them and seal in parallel, each at
// its own pace; then each waits until all packets reserved before its own have been sent. With one
// worker the turnstile is not used. A port's receive order has two.
//
// The alternative, a single worker that owns an SA and sends for all, would copy packets between
// cores and make that core the limit.
type Turnstile struct {
	_       [pad]byte
	next    atomic.Uint64 // the ticket that may go through
	awaited atomic.Bool   // a holder of a ticket sleeps
	_       [pad - 12]byte
}

// pad keeps next in a cache line of its own: one line, not the two that some processors fetch
// together, because every SA has a turnstile.
const pad = 64

// A waiter first spins for a number of looks (about 2 us): workers that alternate on an SA are
// rarely further apart. Wait then yields its core a number of times, with a look after each; a
// yield costs half a microsecond if no thread wants the core, and lets a preempted holder go on.
// After that it uses the scheduler: the holder may have its thread without the right to run Go.
const (
	looks  = 1 << 11
	yields = 1 << 6
)

// LongWait is a wait that only a thread without a core can cause: sealing, opening or writing a
// super-packet takes a tenth of it.
const LongWait = 300 * time.Microsecond

// Spin polls for the ticket's turn for about 2 us, and reports whether it has come. Everything that
// the previous holders did is then visible.
func (t *Turnstile) Spin(ticket uint64) bool {
	for range looks {
		if t.Reached(ticket) {
			return true
		}
	}
	return false
}

// offer yields the core until the ticket's turn has come, within a bound, and reports whether it
// has come.
func (t *Turnstile) offer(ticket uint64) bool {
	for range yields {
		Yield()
		if t.Reached(ticket) {
			return true
		}
	}
	return false
}

// Wait returns when the ticket's turn has come. long reports whether that took LongWait.
func (t *Turnstile) Wait(ticket uint64) (long bool) {
	if t.Spin(ticket) {
		return false
	}
	begun := time.Now()
	if !t.offer(ticket) {
		for !t.Reached(ticket) {
			runtime.Gosched()
		}
	}
	return time.Since(begun) >= LongWait
}

// Reached reports whether it is the ticket's turn.
func (t *Turnstile) Reached(ticket uint64) bool { return t.next.Load() == ticket }

// Pass lets the holder of the ticket next through. Only the holder that is through may call it, or
// the owner of a turnstile that is not yet used.
func (t *Turnstile) Pass(next uint64) { t.next.Store(next) }

// Await announces that a holder of a ticket is about to sleep. It must look at Reached after that:
// whoever passes its turn on afterwards learns of it by Awaited.
func (t *Turnstile) Await() { t.awaited.Store(true) }

// Awaited reports whether Await was called since the last Awaited. It is called after Pass.
func (t *Turnstile) Awaited() bool { return t.awaited.Load() && t.awaited.Swap(false) }
