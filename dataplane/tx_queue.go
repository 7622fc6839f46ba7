package dataplane

import (
	"errors"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// runSpace is the most octets of one sealed packet, and of one run of them.
const runSpace = maxDatagram + esp.MaxOverhead

// A queue is flushed when it has maxOuts sends or flushBytes octets, and when the cycle ends: many
// small packets leave in one call, a super-packet at once.
const (
	maxOuts    = 64
	flushBytes = 32 << 10
)

// txQueue is the transmit queue: what is sealed and not yet sent, and the order in which the
// workers send on a shared SA. Packets are sealed one behind the other into its buffer, so that
// netio finds equal neighbours end to end, and stay there until they are sent: nothing is copied.
//
//	buf:   | A0 A1 A2 A3 | B0 | A4 | A5 |    free    |
//	outs:  |      A      | B  | A  | A  |
type txQueue struct {
	*thread
	port   netio.Port
	buf    []byte
	used   int // buf[used:] is free
	octets int // of all outs
	n      int
	outs   [maxOuts]netio.Outgoing
	from   [maxOuts]*pair // [n:] is nil: no SA that was removed is kept alive
	order  txOrder
	on     *ipsec.Path // what is sealed is sent there; nil: on the path of its SA
	sealed *txSlot     // what is sealed goes there instead, for the owner of the read order to send
}

func (q *txQueue) open(th *thread, port netio.Port, shared bool) {
	q.thread, q.port, q.order.shared = th, port, shared
	q.buf = make([]byte, flushBytes+runSpace)
}

// space returns space for n octets of sealed packets; n is at most runSpace. What is sealed there
// must be enqueued before the next call.
func (q *txQueue) space(n int) []byte {
	if q.sealed != nil {
		return q.sealed.space(n)
	}
	if q.n > 0 && len(q.buf)-q.used < n {
		q.flush()
	}
	if q.n == 0 {
		q.used = 0
	}
	return q.buf[q.used:]
}

// enqueue adds sealed packets, cut every segSize octets, to what is sent by the next flush. They
// lie at the beginning of what space returned, or in a slot.
func (q *txQueue) enqueue(c *pair, how wrap, sealed []byte, segSize int) {
	if q.sealed != nil {
		q.sealed.add(how, sealed, segSize)
		return
	}
	q.awaitTurn()
	to := c.outer.Load()
	if q.on != nil {
		to = q.on
	}
	out := netio.Outgoing{Data: sealed, SegSize: segSize, Path: *to, TOS: how.tos, Fragment: how.fragment}
	if q.order.ticket.turn == late {
		q.enqueueLate(c, out)
		return
	}
	if q.n == maxOuts {
		q.flush()
	}
	q.outs[q.n] = out
	q.from[q.n] = c
	if how.dummy {
		q.from[q.n] = nil
	}
	q.n++
	q.used += len(sealed)
	q.octets += len(sealed)
}

// flush sends the queue and passes all turns on.
func (q *txQueue) flush() {
	q.sendQueued()
	o := &q.order
	for i := range o.held[:o.holds] {
		q.passOn(o.held[i].order, o.held[i].next)
		o.held[i] = heldTurn{}
	}
	o.holds = 0
}

func (q *txQueue) sendQueued() {
	outs := q.outs[:q.n]
	q.n, q.octets = 0, 0 // now: what makes Send panic must not be sent again
	if len(outs) == 0 {
		return
	}
	q.port.Send(outs)
	for i := range outs {
		q.sent(q.from[i], &outs[i])
		q.from[i] = nil
	}
}

// sent records the result of a send. c is nil for a probe, which is not traffic: its answer shows
// whether it arrived.
func (q *txQueue) sent(c *pair, out *netio.Outgoing) {
	if c == nil {
		return
	}
	if errors.Is(out.Err, netio.ErrTooBig) {
		q.dropAll(c, dropTooBig, out.Lost)
		q.plane.doubt(c)
		return
	}
	// A failed send counts as use: a path that takes no packets, as when our address is gone, is
	// one more reason to ask whether the peer can be reached.
	c.lastOut.set(q.nowNano)
	if c.quiet.Load() {
		q.plane.noteUse(c)
	}
	if out.Lost > 0 {
		q.dropAll(c, dropSend, out.Lost)
		if why := netio.Obstacle(out.Err); why != ipsec.NoObstacle {
			q.plane.unsent(c, why, q.nowNano)
		}
	}
}
