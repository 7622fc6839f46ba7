package dataplane

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"culvert/dataplane/netio"
	"culvert/dataplane/turnstile"
)

// Bounds of a worker's late tickets and their packets.
const (
	maxLate   = 64 // tickets that do not follow each other
	maxLateTx = 256
	lateBytes = 512 << 10
	// lateGrace is how long no ticket must have gone before a worker without room drops packets for
	// such an SA. Until then it waits: a thread that lost its core for a time slice comes back.
	lateGrace = 20 * time.Millisecond
	// lateYields is how often it must have yielded its core meanwhile: where all cores are busy,
	// that thread may need longer to get one.
	lateYields = 256
)

// A lateQueue holds a worker's sealed packets whose turn has not come because another worker is
// held up in the send before: in the system call, or without a core for its thread. They are sent
// when their turn comes, and meanwhile the worker carries the traffic of other SAs.
//
// The bounds are per worker. Beyond them, packets for such an SA are dropped and counted; their
// sequence numbers are passed on in order, as if the packets had been sent.
type lateQueue struct {
	any     atomic.Bool // there are tickets: whoever passes an awaited turnstile checks this
	tickets []lateTicket
	outs    []netio.Outgoing // of all tickets, in their order
	buf     []byte           // a ring: holds their data, in the same order, each where it was put
	from    []int            // where, for each of outs
	end     int              // behind the last of them
	moved   time.Time        // when a ticket last went, or the first one came
	yields  int              // of the core since then, for want of room
}

// A lateTicket is a range of reserved sequence numbers whose turn has not come, and the number of
// outs that belong to it.
type lateTicket struct {
	pair        *pair
	first, next uint64
	outs        int
}

// delays reports whether what is sent on c must wait for a ticket: one of its policy, whose flows
// may have gone on to c from another SA.
func (q *lateQueue) delays(c *pair) bool { return delayed(q.tickets, c) }

func delayed(by []lateTicket, c *pair) bool {
	return slices.ContainsFunc(by, func(l lateTicket) bool { return l.pair.sa.Policy == c.sa.Policy })
}

// mayGo reports whether the turn of ticket i has come, and nothing delays it.
func (q *lateQueue) mayGo(i int) bool {
	l := &q.tickets[i]
	return l.pair.sendOrder.Reached(l.first) && !delayed(q.tickets[:i], l.pair)
}

// full reports whether another super-packet may not fit.
func (q *lateQueue) full() bool {
	return len(q.tickets) == maxLate || len(q.outs) > maxLateTx-maxOuts || q.place(2*runSpace) < 0
}

// place returns where in the ring the next n octets go, or -1 if they do not fit.
func (q *lateQueue) place(n int) int {
	switch {
	case len(q.outs) == 0:
		return 0
	case q.end > q.from[0] && n <= lateBytes-q.end:
		return q.end
	case q.end > q.from[0] && n < q.from[0]:
		return 0
	case q.end < q.from[0] && n < q.from[0]-q.end:
		return q.end
	}
	return -1
}

// put adds a ticket, or extends the last one if it follows that.
func (q *lateQueue) put(c *pair, first, next uint64) {
	if n := len(q.tickets); n > 0 && q.tickets[n-1].pair == c && q.tickets[n-1].next == first {
		q.tickets[n-1].next = next
		return
	}
	if len(q.tickets) == 0 {
		q.moved, q.yields = time.Now(), 0
		if q.buf == nil {
			q.buf = make([]byte, lateBytes)
			q.tickets, q.outs = make([]lateTicket, 0, maxLate), make([]netio.Outgoing, 0, maxLateTx)
			q.from = make([]int, 0, maxLateTx)
		}
	}
	q.tickets = append(q.tickets, lateTicket{pair: c, first: first, next: next})
	q.any.Store(true)
}

// add copies a packet for the last ticket. It reports false if there is no room.
func (q *lateQueue) add(out netio.Outgoing) bool {
	at := q.place(len(out.Data))
	if len(q.outs) == maxLateTx || at < 0 {
		return false
	}
	q.end = at + copy(q.buf[at:], out.Data)
	out.Data = q.buf[at:q.end]
	q.outs, q.from = append(q.outs, out), append(q.from, at)
	q.tickets[len(q.tickets)-1].outs++
	return true
}

// remove removes ticket i, which has n sends from outs[at] on.
func (q *lateQueue) remove(i, at, n int) {
	q.tickets = slices.Delete(q.tickets, i, i+1)
	q.outs, q.from = slices.Delete(q.outs, at, at+n), slices.Delete(q.from, at, at+n)
	q.moved, q.yields = time.Now(), 0
	q.any.Store(len(q.tickets) > 0)
}

// discard drops the packets but not the tickets, which other workers wait for.
func (q *lateQueue) discard() {
	for i := range q.tickets {
		q.tickets[i].outs = 0
	}
	clear(q.outs)
	q.outs, q.from = q.outs[:0], q.from[:0]
}

// patient reports whether a ticket may still go soon.
func (q *lateQueue) patient() bool {
	return q.yields < lateYields || time.Since(q.moved) < lateGrace
}

// putOff moves the current ticket, and the packets enqueued for it, to the late queue until its
// turn comes. It reports whether the turn came while the worker waited for room.
func (q *txQueue) putOff(c *pair, first, next uint64) (came bool) {
	l := &q.order.late
	for l.full() && !q.stopping.Load() && (len(l.tickets) == maxLate || l.patient()) {
		q.sendLate()
		if c.sendOrder.Reached(first) && !l.delays(c) {
			return true
		}
		turnstile.Yield()
		runtime.Gosched()
		l.yields++
	}
	l.put(c, first, next)
	q.tally.add(countPutOff, 1)
	return false
}

// enqueueLate is enqueue for a ticket that was put off.
func (q *txQueue) enqueueLate(c *pair, out netio.Outgoing) {
	if !q.order.late.add(out) {
		q.dropAll(c, dropSend, out.Datagrams())
	}
}

// sendLate sends the tickets whose turn has come.
func (q *txQueue) sendLate() {
	late := &q.order.late
	for i, at := 0, 0; i < len(late.tickets); {
		l := late.tickets[i]
		if !late.mayGo(i) {
			i, at = i+1, at+l.outs
			continue
		}
		outs := late.outs[at : at+l.outs]
		if len(outs) > 0 {
			q.port.Send(outs)
		}
		for k := range outs {
			q.sent(l.pair, &outs[k])
		}
		late.remove(i, at, l.outs)
		q.passOn(&l.pair.sendOrder, l.next)
	}
}

// awaitLate arranges for the worker to be woken when the turn of one of its late tickets comes. It
// reports false if one has come already.
func (o *txOrder) awaitLate() bool {
	for i := range o.late.tickets {
		o.late.tickets[i].pair.sendOrder.Await()
		if o.late.mayGo(i) {
			return false
		}
	}
	return true
}
