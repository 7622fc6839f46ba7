package dataplane

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"culvert/dataplane/netio"
)

// Bounds of what a worker keeps whose turn has not come.
const (
	maxLate   = 64 // tickets that do not follow each other
	maxLateTx = 256
	lateBytes = 512 << 10
	// lateGrace is for how long nothing must have gone before a worker that has no room for more
	// drops what is sent on such an SA. Until then it waits: a thread that lost its core for a time
	// slice comes back.
	lateGrace = 20 * time.Millisecond
)

// lateQueue is what a worker has sealed and may not send yet, since another one is held up in the
// send before it: in the system call, or as its thread has no core. What it keeps is sent when the
// turn has come, and meanwhile the worker goes on with the traffic of other SAs.
//
// The bound is the worker's. Where it is reached, what comes for such an SA is dropped and counted;
// its sequence numbers are passed on in their order as if it had been sent.
type lateQueue struct {
	any     atomic.Bool // there are tickets: who passes on a turn that is awaited looks
	tickets []lateTicket
	outs    []netio.Outgoing // of all tickets, in their order
	buf     []byte           // where their data lies, in the same order
	used    int
	moved   time.Time // when a ticket last went, or the first one came
}

// lateTicket is reserved sequence numbers whose turn has not come, and how many of outs are for
// them.
type lateTicket struct {
	pair        *pair
	first, next uint64
	outs        int
}

// has reports whether there are tickets of c.
func (q *lateQueue) has(c *pair) bool {
	return slices.ContainsFunc(q.tickets, func(l lateTicket) bool { return l.pair == c })
}

// full reports whether there may be no room for a super-packet more.
func (q *lateQueue) full() bool {
	return len(q.tickets) == maxLate || len(q.outs) > maxLateTx-maxOuts || q.used > lateBytes-2*runSpace
}

// put adds a ticket, to the last one if it follows that.
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

// add keeps a copy of what is to be sent with the last ticket. False: there is no room.
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

// remove takes out ticket i, whose sends are n from outs[at] on.
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

// discard loses what is kept, and not the tickets, which others wait for.
func (q *lateQueue) discard() {
	for i := range q.tickets {
		q.tickets[i].outs = 0
	}
	clear(q.outs)
	q.outs, q.used = q.outs[:0], 0
}

// putOff keeps the ticket in hand, and the packets that are enqueued for it, until its turn comes. It
// reports whether the turn came while there was no room for that.
func (q *txQueue) putOff(c *pair, first, next uint64) (came bool) {
	l := &q.order.late
	for l.full() && !q.stopping.Load() && (len(l.tickets) == maxLate || time.Since(l.moved) < lateGrace) {
		q.sendLate()
		if c.sendOrder.next.Load() == first {
			return true
		}
		yield()
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

// sendLate sends those tickets whose turn has come.
func (q *txQueue) sendLate() {
	late := &q.order.late
	for i, at := 0, 0; i < len(late.tickets); {
		l := late.tickets[i]
		if l.pair.sendOrder.next.Load() != l.first {
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

// awaitLate has the worker woken when the turn of one of its late tickets comes. It reports false if
// one has come.
func (o *txOrder) awaitLate() bool {
	for i := range o.late.tickets {
		l := &o.late.tickets[i]
		l.pair.sendOrder.awaited.Store(true)
		if l.pair.sendOrder.next.Load() == l.first {
			return false
		}
	}
	return true
}
