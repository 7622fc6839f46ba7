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

// held is a turn that a worker has used and not yet passed on: what was posted is not yet sent.
type held struct {
	turn *turnstile
	next uint64
}

// maxHeld is of how many SAs a worker keeps the turns until it flushes.
const maxHeld = 16

// ticket is a worker's reserved and not yet sent sequence numbers.
type ticket struct {
	pair        *pair // nil: none
	first, next uint64
	called      bool // it is our turn, or
	late        bool // what was posted waits until it is
}

// takeTicket notes the reservation of n sequence numbers.
func (w *worker) takeTicket(c *pair, first uint64, n int) {
	if !w.shared {
		return
	}
	w.ticket = ticket{pair: c, first: first, next: first + uint64(n)}
	if h := w.find(&c.turn); h != nil && h.next != first {
		w.flush() // another worker has reserved what comes in between: it is not to wait while we seal
	}
}

// awaitTurn returns when it is the ticket's turn to send, or the ticket was put off.
func (w *worker) awaitTurn() {
	if t := &w.ticket; t.pair != nil && !t.called {
		t.called, t.late = true, !w.await(t)
	}
}

// useTicket is called when all that the ticket is for has been posted. Another worker does not wait for longer than it takes to fill the outbox or to seal a super-packet.
func (w *worker) useTicket() {
	awaited := false
	if t := &w.ticket; t.pair != nil {
		if !t.late {
			w.hold(&t.pair.turn, t.next)
			awaited = t.pair.out.Used().Packets >= t.next
		}
		*t = ticket{}
	}
	if awaited || w.box.octets >= flushBytes {
		w.flush()
	}
}

// giveUpTicket lets the others go on when what the ticket was for will never be sent.
func (w *worker) giveUpTicket() {
	w.awaitTurn()
	w.useTicket()
}

// await reports whether the turn of the ticket has come, for which it waits briefly; if not, the
// ticket was put off. A worker never waits while it holds turns of its own: two workers could wait
// for each other.
func (w *worker) await(k *ticket) bool {
	t := &k.pair.turn
	if h := w.find(t); h != nil && h.next == k.first {
		return true
	}
	if t.next.Load() == k.first && w.holds < maxHeld {
		return true
	}
	w.flush()
	if len(w.late.tickets) > 0 {
		w.sendLate()
	}
	if t.next.Load() == k.first || !w.late.has(k.pair) && t.waitBriefly(k.first) {
		return true
	}
	return w.putOff(k.pair, k.first, k.next)
}

// find is what the worker holds of an SA's turns, or nil.
func (w *worker) find(t *turnstile) *held {
	for i := range w.held[:w.holds] {
		if w.held[i].turn == t {
			return &w.held[i]
		}
	}
	return nil
}

// hold notes that all up to next has been posted. The turn is passed on by flush.
func (w *worker) hold(t *turnstile, next uint64) {
	if h := w.find(t); h != nil {
		h.next = next
		return
	}
	w.held[w.holds] = held{t, next}
	w.holds++
}

// flush sends what was posted and passes on all turns.
func (w *worker) flush() {
	w.sendPosted()
	for i := range w.held[:w.holds] {
		w.passOn(w.held[i].turn, w.held[i].next)
		w.held[i] = held{}
	}
	w.holds = 0
}
