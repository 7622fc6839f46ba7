package dataplane

import "culvert/dataplane/turnstile"

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

// await reports whether the turn of the ticket has come, for which it waits briefly; if not, the
// ticket was put off. A worker never waits while it holds turns of its own: two workers could wait
// for each other.
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
	if t.Reached(k.first) || t.WaitBriefly(k.first) {
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
