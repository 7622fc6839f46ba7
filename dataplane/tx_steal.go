package dataplane

import (
	"errors"
	"sync/atomic"

	"culvert/dataplane/turnstile"
	"culvert/tun"
)

// A txSlot holds what was read at once from a queue, sealed, until the queue's owner sends it. Its
// memory is taken when it is first used, and kept.
//
//	buf:      | A0 A1 A2 A3 | B0 | B1 | B2 |  free  |
//	parts:    |      A      | B  | B  | B  |
//	tickets:  |      A      |      B       |
type txSlot struct {
	ready   atomic.Bool // sealed: the owner's; otherwise that of whoever took it
	buf     []byte
	used    int
	parts   []sealedPart
	tickets []slotTicket
	begun   int // tickets whose sending has begun
	gone    int // parts of these
	_       [cacheLine]byte
}

// sealedPart is what one call of enqueue would send.
type sealedPart struct {
	how     wrap
	data    []byte
	segSize int
}

// slotTicket is a range of reserved sequence numbers, and the number of parts that have them.
type slotTicket struct {
	pair        *pair
	first, next uint64
	parts       int
}

// slotSpace is the memory of a slot: a batch and a super-packet, unless its segments are very
// small.
const slotSpace = 2 * runSpace

// space is txQueue.space. What was sealed stays where it is.
//
//go:noinline
func (s *txSlot) space(n int) []byte {
	if len(s.buf)-s.used < n {
		s.buf, s.used = make([]byte, max(slotSpace, 2*len(s.buf))), 0
	}
	return s.buf[s.used:]
}

// add adds sealed packets of the last ticket. They lie at the beginning of what space returned.
//
//go:noinline
func (s *txSlot) add(how wrap, sealed []byte, segSize int) {
	s.parts = append(s.parts, sealedPart{how, sealed, segSize})
	s.tickets[len(s.tickets)-1].parts++
	s.used += len(sealed)
}

// take records the reservation of n sequence numbers.
//
//go:noinline
func (s *txSlot) take(c *pair, first uint64, n int) {
	s.tickets = append(s.tickets, slotTicket{pair: c, first: first, next: first + uint64(n)})
}

// reset empties s. No SA that was removed is kept alive.
func (s *txSlot) reset() {
	clear(s.tickets)
	clear(s.parts)
	s.tickets, s.parts = s.tickets[:0], s.parts[:0]
	s.used, s.begun, s.gone = 0, 0, 0
}

// takeSlot has what is read from the queue of o sealed into a slot. It reports false if there is
// none.
func (t *tx) takeSlot(o *readOrder) bool {
	if o.tickets.Load()-o.sent.Load() == uint64(len(o.slots)) {
		if o.owner != t {
			o.hungry.Store(true)
		}
		return false
	}
	t.out.flush()
	t.home = o.owner.thread
	t.out.sealed = &o.slots[o.tickets.Load()%uint64(len(o.slots))]
	return true
}

// giveSlot leaves a slot to the owner to send, or unused.
func (t *tx) giveSlot(s *txSlot, some bool) {
	owner := t.plane.workers[t.home.index]
	t.home, t.out.sealed = t.thread, nil
	if !some {
		return
	}
	s.ready.Store(true)
	if owner.tx.thread != t.thread && owner.idle.Load() {
		owner.sleeper.wake()
	}
}

// stealFrom carries a few batches of o as far as into slots. It returns leftMore if there were as
// many as it may take at once, and wasDry if there was none, or no slot: then the owner wakes
// somebody when there are some.
func (t *tx) stealFrom(o *readOrder) progress {
	for n := range stealBatches {
		reads, _, err := t.take(o)
		if reads > 0 {
			o.stolen.Add(1)
			t.tally.add(countStolen, 1)
			n++
		}
		switch {
		case err == nil:
		case !errors.Is(err, errTaken): // dry; or an error for the owner to see
			o.behind.Store(false)
			return ranDry(n)
		case o.hungry.Load():
			return ranDry(n)
		default:
			turnstile.Yield()
			return hasRun
		}
	}
	return leftMore
}

// sendSealed sends the slots that are sealed, up to one that is not, and returns their number.
func (t *tx) sendSealed() (n int) {
	o := t.reads
	for ; n < len(o.slots) && !o.idle(); n++ {
		s := o.next()
		if !s.ready.Load() {
			t.miss()
			break
		}
		t.missing = 0
		t.out.flush()
		t.out.sendSlot(s)
		s.ready.Store(false)
		o.sent.Add(1)
	}
	if o.hungry.Load() && o.tickets.Load()-o.sent.Load() <= uint64(len(o.slots)/2) {
		o.hungry.Store(false)
		t.wakeIdle()
	}
	return n
}

// miss records that the next slot is not sealed yet.
func (t *tx) miss() {
	if t.missing == 0 {
		t.missing = t.nowNano
	}
	if t.nowNano-t.missing >= int64(turnstile.LongWait) {
		t.reads.waitedLong()
	}
}

// sendSlot sends what a slot holds. After a panic it goes on behind the ticket in hand.
func (q *txQueue) sendSlot(s *txSlot) {
	for s.begun < len(s.tickets) {
		k := s.tickets[s.begun]
		parts := s.parts[s.gone : s.gone+k.parts]
		s.begun, s.gone = s.begun+1, s.gone+k.parts
		q.order.ticket = ticket{pair: k.pair, first: k.first, next: k.next, turn: awaited}
		for i := range parts {
			q.enqueue(k.pair, parts[i].how, parts[i].data, parts[i].segSize)
		}
		q.giveUpTicket()
	}
	q.flush()
	s.reset()
}

// maxSlots bounds the slots of a read order.
const maxSlots = 32

// giveReadOrders gives each worker its read order, which is shared if the queues can be.
func giveReadOrders(workers []*worker) {
	shared := len(workers) > 1
	for _, w := range workers {
		_, queue := w.tx.queue.(tun.Helper)
		shared = shared && queue && w.tx.queue.FD() >= 0
	}
	slots := 1
	if shared {
		slots = min(2*len(workers)+2, maxSlots)
	}
	for _, w := range workers {
		w.tx.reads = &readOrder{owner: &w.tx, shared: shared, slots: make([]txSlot, slots)}
	}
}
