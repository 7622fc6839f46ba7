package dataplane

import (
	"runtime"
	"sync/atomic"
	"time"
)

// turnstile lets the holders of tickets through in the order of their numbers.
//
// Each SA has one, which keeps its packets in the order of their sequence numbers when several workers send on it: a peer's replay window may be as small as 32
// packets (RFC 4303, Section 3.4.3). The sequence numbers are the tickets. Workers reserve, and seal at the same time, each at its own pace; then each
// waits until what was reserved before its own has been sent. With one worker nobody looks at it.
//
// The alternative, one worker that owns an SA and sends for all, would copy packets between cores and make that core the limit.
type turnstile struct {
	_       [turnstilePad]byte
	next    atomic.Uint64 // the ticket whose turn it is
	awaited atomic.Bool   // a worker sleeps that has a ticket
	_       [turnstilePad - 12]byte
}

// turnstilePad keeps next in a line of its own. It is one line and not two, as elsewhere (cacheLine), because every SA has a turnstile.
const turnstilePad = 64

// Whoever waits at a turnstile first looks so often, which takes about 2 us: workers that
// alternate on an SA are rarely further apart. Then it offers its core to other threads, so often,
// with a look after each; that costs half a microsecond where nobody wants it, and lets a holder
// that was put aside go on. After that a sender puts off what it has to send (lateQueue), and for
// others it is the scheduler's turn: the holder may have its thread and not the right to run Go.
const (
	looks  = 1 << 11
	yields = 1 << 6
)

// longWait is one that only a thread which does not run can cause: sealing, opening or writing a super-packet takes a tenth of it.
const longWait = 300 * time.Microsecond

// waitBriefly waits for the ticket's turn for as long as others need that are not held up, and
// reports whether it has come. All that was done before by who let it through is then seen.
func (t *turnstile) waitBriefly(ticket uint64) bool {
	return t.spin(ticket) || t.offer(ticket)
}

// spin looks whether the ticket's turn has come.
func (t *turnstile) spin(ticket uint64) bool {
	for range looks {
		if t.next.Load() == ticket {
			return true
		}
	}
	return false
}

// offer offers the core to others until the ticket's turn has come.
func (t *turnstile) offer(ticket uint64) bool {
	for range yields {
		yield()
		if t.next.Load() == ticket {
			return true
		}
	}
	return false
}

// wait returns when it is the ticket's turn. long reports whether it took longWait.
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

// pass lets the holder of the ticket next through. Only who is through may call it.
func (t *turnstile) pass(next uint64) { t.next.Store(next) }
