package dataplane

import (
	"sync/atomic"

	"culvert/dataplane/turnstile"
)

// txOrder is the send order of a worker: which sequence numbers of shared SAs it has reserved, and
// which turns it holds. Each SA has a turnstile, whose tickets are the sequence numbers.
type txOrder struct {
	shared bool // other workers may send on the same SAs; otherwise nothing here is used
	ticket ticket
	held   [maxHeld]heldTurn
	holds  int
	late   lateQueue
}

// heldTurn is a turn that the worker has used and not yet passed on: its packets are queued and not
// yet sent.
type heldTurn struct {
	order *turnstile.Turnstile
	next  uint64
}

// maxHeld is the number of SAs whose turns a worker keeps until it flushes.
const maxHeld = 16

// ticket is the sequence numbers that the worker has reserved and not yet used.
type ticket struct {
	pair        *pair // nil: none
	first, next uint64
	turn        turn
}

// takeTicket records the reservation of n sequence numbers.
func (q *txQueue) takeTicket(c *pair, first uint64, n int) {
	o := &q.order
	if !o.shared {
		return
	}
	if q.sealed != nil {
		q.sealed.take(c, first, n)
		return
	}
	o.ticket = ticket{pair: c, first: first, next: first + uint64(n), turn: awaited}
	if h := o.find(&c.sendOrder); h != nil && h.next != first {
		q.flush() // another worker has reserved the numbers between: it must not wait while we seal
	}
}

// awaitTurn returns when it is the ticket's turn to send, or the ticket was put off.
func (q *txQueue) awaitTurn() {
	t := &q.order.ticket
	switch {
	case t.turn != awaited:
	case q.await(t):
		t.turn = ours
	default:
		t.turn = late
	}
}

// useTicket is called when all packets of the ticket are enqueued. Another worker waits at most
// until the queue is full or a super-packet is sealed.
func (q *txQueue) useTicket() {
	others := false // wait for us
	if t := &q.order.ticket; t.turn != noTurn {
		if t.turn != late {
			q.order.hold(&t.pair.sendOrder, t.next)
			others = t.pair.out.Used().Packets >= t.next
		}
		*t = ticket{}
	}
	if others || q.octets >= flushBytes {
		q.flush()
	}
}

// giveUpTicket lets the other workers pass when the packets of the ticket will never be sent.
func (q *txQueue) giveUpTicket() {
	q.awaitTurn()
	q.useTicket()
}

// await reports whether the turn of the ticket has come, or comes while it looks; if not, the
// ticket was put off. It does not yield the core for that: where all cores are busy, another
// program would have it for a time slice, and this for each batch. A worker never waits while it
// holds turns of its own: two workers could wait for each other.
func (q *txQueue) await(k *ticket) bool {
	o, t := &q.order, &k.pair.sendOrder
	if len(o.late.tickets) > 0 {
		q.flush()
		q.sendLate()
		if o.late.delays(k.pair) {
			return q.putOff(k.pair, k.first, k.next)
		}
	}
	if h := o.find(t); h != nil && h.next == k.first {
		return true
	}
	if t.Reached(k.first) && o.holds < maxHeld {
		return true
	}
	q.flush()
	if t.Spin(k.first) {
		return true
	}
	return q.putOff(k.pair, k.first, k.next)
}

// passOn lets the holder of the ticket next pass, and wakes workers that sleep until their turn.
func (q *txQueue) passOn(t *turnstile.Turnstile, next uint64) {
	t.Pass(next)
	if !t.Awaited() {
		return
	}
	for _, w := range q.plane.workers {
		if w.index != q.index && w.tx.out.order.late.any.Load() {
			w.sleeper.wake()
		}
	}
}

// find returns the turn of the SA that the worker holds, or nil.
func (o *txOrder) find(t *turnstile.Turnstile) *heldTurn {
	for i := range o.held[:o.holds] {
		if o.held[i].order == t {
			return &o.held[i]
		}
	}
	return nil
}

// hold records that all packets up to the sequence number next are queued. flush passes the turn
// on.
func (o *txOrder) hold(t *turnstile.Turnstile, next uint64) {
	if h := o.find(t); h != nil {
		h.next = next
		return
	}
	o.held[o.holds] = heldTurn{t, next}
	o.holds++
}

// readOrder is the order in which packets are read from one worker's queue. All packets of a flow
// come to one queue, so that one busy flow would keep one worker busy and no other. Therefore a
// worker that has nothing of its own to do steals from a queue with a backlog: it reads, reserves
// the sequence numbers, and seals into a slot. The owner sends the slots in the order in which they
// were read, beside what it reads and seals itself:
//
//	worker 0, the owner:  read 6 | seal 6      | send 6 | send 7 | send 8 | read 10 ...
//	worker 1:                read 7 | seal 7 | read 8 | seal 8 | read 9 | seal 9 ...
//
// So one thread sends what came from a queue, by one port: neither the queues of a network card nor
// the kernel's softirqs, which belong to a core, can reorder a flow. The owner is mostly busy in
// the send, as the kernel cuts super-packets in it and, on some devices, does the far end's work.
// Nobody waits: without a slot, or while another reads, a worker does something else. As long as
// the owner does everything, no slot is used.
type readOrder struct {
	owner  *tx
	shared bool // others may steal
	slots  []txSlot

	_       [cacheLine]byte
	taken   atomic.Bool   // a worker reads
	tickets atomic.Uint64 // slots handed out; the reader's
	_       [cacheLine]byte
	sent    atomic.Uint64 // slots sent; the owner's
	_       [cacheLine]byte
	loot
	hungry atomic.Bool // a thief found no slot
	_      [cacheLine]byte
}

// idle reports whether no slot is in use. The owner calls it.
func (o *readOrder) idle() bool { return o.tickets.Load() == o.sent.Load() }

// next returns the slot that is to be sent next.
func (o *readOrder) next() *txSlot { return &o.slots[o.sent.Load()%uint64(len(o.slots))] }

// sendReady sends what is sealed in slots, and returns their number.
func (t *tx) sendReady() int {
	if o := t.reads; o.idle() && !o.hungry.Load() {
		return 0
	}
	return t.sendSealed()
}

// enter begins to read from the queue of o. It reports false if another worker is reading, there is
// no slot, or packets that waited for their SA come before what would be read.
func (t *tx) enter(o *readOrder) bool {
	if !o.shared {
		return true
	}
	if !o.taken.CompareAndSwap(false, true) {
		return false
	}
	t.reading = o
	if !o.owner.mail.full.Load() && (o.owner == t && o.idle() || t.takeSlot(o)) {
		return true
	}
	t.leaveReading()
	return false
}

// leaveReading ends the reading: the sequence numbers of what was read are reserved.
func (t *tx) leaveReading() {
	if o := t.reading; o != nil {
		if t.out.sealed != nil {
			o.tickets.Add(1)
		}
		t.reading = nil
		o.taken.Store(false)
	}
}

// leave ends the reading and the sealing. some reports whether something was read.
func (t *tx) leave(some bool) {
	s := t.out.sealed
	if !some {
		t.out.sealed = nil
	}
	t.leaveReading()
	if s != nil {
		t.giveSlot(s, some)
	}
}

// caughtUp records that the queue is dry.
func (t *tx) caughtUp() {
	t.backlog.cycles = 0
	if o := t.reads; o.behind.Load() {
		o.behind.Store(false)
	}
}
