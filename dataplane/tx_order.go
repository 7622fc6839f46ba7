package dataplane

// held is a turn that a worker has used and not yet passed on: what was posted is not yet sent.
type held struct {
	order *turnstile
	next  uint64
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
	if h := w.find(&c.sendOrder); h != nil && h.next != first {
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
			w.hold(&t.pair.sendOrder, t.next)
			awaited = t.pair.out.Used().Packets >= t.next
		}
		*t = ticket{}
	}
	if awaited || w.txQueue.octets >= flushBytes {
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
	t := &k.pair.sendOrder
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
		if w.held[i].order == t {
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

// passOn lets the holder of the ticket next through, and wakes those who sleep until it is theirs.
func (w *worker) passOn(t *turnstile, next uint64) {
	t.pass(next)
	if !t.awaited.Load() || !t.awaited.Swap(false) {
		return
	}
	for _, o := range w.plane.workers {
		if o != w && o.late.any.Load() {
			o.sleeper.wake()
		}
	}
}
