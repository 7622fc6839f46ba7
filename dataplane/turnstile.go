package dataplane

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A turnstile lets the holders of tickets through in the order of their numbers.
//
// Each SA has one. It keeps the SA's packets in the order of their sequence numbers when several
// workers send on it: a peer's replay window may be as small as 32 packets (RFC 4303, Section
// 3.4.3). The sequence numbers are the tickets. Workers reserve them and seal in parallel, each at
// its own pace; then each waits until all packets reserved before its own have been sent. With one
// worker the turnstile is not used.
//
// The alternative, a single worker that owns an SA and sends for all, would copy packets between
// cores and make that core the limit.
type turnstile struct {
	_       [turnstilePad]byte
	next    atomic.Uint64 // the ticket that may go through
	awaited atomic.Bool   // a worker with a ticket sleeps
	_       [turnstilePad - 12]byte
}

// turnstilePad keeps next in a cache line of its own: one line, not two as elsewhere (cacheLine),
// because every SA has a turnstile.
const turnstilePad = 64

// A waiter first spins for a number of looks (about 2 us): workers that alternate on an SA are
// rarely further apart. Then it yields its core a number of times, with a look after each; a yield
// costs half a microsecond if no thread wants the core, and lets a preempted holder go on. After
// that a sender puts off its packets (lateQueue), and any other waiter uses the scheduler: the
// holder may have its thread without the right to run Go.
const (
	looks  = 1 << 11
	yields = 1 << 6
)

// longWait is a wait that only a thread without a core can cause: sealing, opening or writing a
// super-packet takes a tenth of it.
const longWait = 300 * time.Microsecond

// waitBriefly waits for the ticket's turn about as long as a running holder needs, and reports
// whether it has come. Everything that the previous holders did is then visible.
func (t *turnstile) waitBriefly(ticket uint64) bool {
	return t.spin(ticket) || t.offer(ticket)
}

// spin polls for the ticket's turn, and reports whether it has come.
func (t *turnstile) spin(ticket uint64) bool {
	for range looks {
		if t.next.Load() == ticket {
			return true
		}
	}
	return false
}

// offer yields the core until the ticket's turn has come, within a bound, and reports whether it
// has come.
func (t *turnstile) offer(ticket uint64) bool {
	for range yields {
		yield()
		if t.next.Load() == ticket {
			return true
		}
	}
	return false
}

// wait returns when the ticket's turn has come. long reports whether that took longWait.
func (t *turnstile) wait(ticket uint64) (long bool) {
	if t.spin(ticket) {
		return false
	}
	begun := time.Now()
	if !t.offer(ticket) {
		for t.next.Load() != ticket {
			runtime.Gosched()
		}
	}
	return time.Since(begun) >= longWait
}

// pass lets the holder of the ticket next through. Only the holder that is through may call it.
func (t *turnstile) pass(next uint64) { t.next.Store(next) }
