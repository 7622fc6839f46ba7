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
	buf     []byte           // holds their data, in the same order
	used    int
	moved   time.Time // when a ticket last went, or the first one came
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
	return len(q.tickets) == maxLate || len(q.outs) > maxLateTx-maxOuts || q.used > lateBytes-2*runSpace
}

// put adds a ticket, or extends the last one if it follows that.
func (q *lateQueue) put(c *pair, first, next uint64) {
	if n := len(q.tickets); n > 0 && q.tickets[n-1].pair == c && q.tickets[n-1].next == first {
		q.tickets[n-1].next = next
		return
	}
	if len(q.tickets) == 0 {
		q.moved = time.Now()
		if q.buf == nil {
			q.buf = make([]byte, lateBytes)
			q.tickets, q.outs = make([]lateTicket, 0, maxLate), make([]netio.Outgoing, 0, maxLateTx)
		}
	}
	q.tickets = append(q.tickets, lateTicket{pair: c, first: first, next: next})
	q.any.Store(true)
}

// add copies a packet for the last ticket. It reports false if there is no room.
func (q *lateQueue) add(out netio.Outgoing) bool {
	if len(q.outs) == maxLateTx || len(out.Data) > lateBytes-q.used {
		return false
	}
	out.Data = q.buf[q.used : q.used+copy(q.buf[q.used:], out.Data)]
	q.used += len(out.Data)
	q.outs = append(q.outs, out)
	q.tickets[len(q.tickets)-1].outs++
	return true
}

// remove removes ticket i, which has n sends from outs[at] on.
func (q *lateQueue) remove(i, at, n int) {
	q.tickets = slices.Delete(q.tickets, i, i+1)
	q.outs = slices.Delete(q.outs, at, at+n)
	q.used = 0
	for k := range q.outs {
		o := &q.outs[k]
		o.Data = q.buf[q.used : q.used+copy(q.buf[q.used:], o.Data)]
		q.used += len(o.Data)
	}
	q.moved = time.Now()
	q.any.Store(len(q.tickets) > 0)
}

// discard drops the packets but not the tickets, which other workers wait for.
func (q *lateQueue) discard() {
	for i := range q.tickets {
		q.tickets[i].outs = 0
	}
	clear(q.outs)
	q.outs, q.used = q.outs[:0], 0
}

// putOff moves the current ticket, and the packets enqueued for it, to the late queue until its
// turn comes. It reports whether the turn came while the worker waited for room.
func (q *txQueue) putOff(c *pair, first, next uint64) (came bool) {
	l := &q.order.late
	for l.full() && !q.stopping.Load() && (len(l.tickets) == maxLate || time.Since(l.moved) < lateGrace) {
		q.sendLate()
		if c.sendOrder.Reached(first) && !l.delays(c) {
			return true
		}
		turnstile.Yield()
		runtime.Gosched()
	}
	l.put(c, first, next)
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
