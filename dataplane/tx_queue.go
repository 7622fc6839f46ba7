package dataplane

import (
	"errors"

	"culvert/dataplane/netio"
	"culvert/esp"
)

// runSpace is what one packet takes at most, and with it whatever is sent as one run.
const runSpace = maxDatagram + esp.MaxOverhead

// What is sealed waits for a flush until it is so many sends or octets, or the worker's turn ends: small packets leave many in one call, a super-packet at once.
const (
	maxOuts    = 64
	flushBytes = 32 << 10
)

// outbox is what is sealed and not yet sent. Packets are sealed one behind the other into its buffer, so that netio finds equal neighbours end to end, and stay there until
// they are sent: nothing is copied.
//
//	buf:   | A0 A1 A2 A3 | B0 | A4 | A5 |    free    |
//	outs:  |      A      | B  | A  | A  |
type txQueue struct {
	buf    []byte
	used   int // buf[used:] is free
	octets int // of all outs
	n      int
	outs   [maxOuts]netio.Outgoing
	from   [maxOuts]*pair // [n:] is nil: nothing here keeps an SA alive that was removed
}

// room is space for n octets of sealed packets; n is at most runSpace. What is sealed there must be posted before room is asked for again.
func (w *worker) space(n int) []byte {
	b := &w.txQueue
	if b.n > 0 && len(b.buf)-b.used < n {
		w.flush()
	}
	if b.n == 0 {
		b.used = 0
	}
	return b.buf[b.used:]
}

// post puts sealed packets, cut every segSize octets, in line to be sent. They lie at the beginning of what room gave.
func (w *worker) enqueue(c *pair, how wrap, sealed []byte, segSize int) {
	w.awaitTurn()
	b, ep := &w.txQueue, c.endpoint.Load()
	out := netio.Outgoing{Data: sealed, SegSize: segSize, Local: ep.Local, Remote: ep.Remote, Encap: ep.Encap, TOS: how.tos, Fragment: how.fragment}
	if w.ticket.late {
		w.enqueueLate(c, out)
		return
	}
	if b.n == maxOuts {
		w.flush()
	}
	b.outs[b.n] = out
	b.from[b.n] = c
	if how.dummy {
		b.from[b.n] = nil
	}
	b.n++
	b.used += len(sealed)
	b.octets += len(sealed)
}

// sendPosted sends what was posted.
func (w *worker) sendQueued() {
	b := &w.txQueue
	outs := b.outs[:b.n]
	b.n, b.octets = 0, 0 // now: what makes Send panic must not be sent again
	if len(outs) == 0 {
		return
	}
	w.port.Send(outs)
	for i := range outs {
		w.sent(b.from[i], &outs[i])
		b.from[i] = nil
	}
}

// sent notes what became of a send.
func (w *worker) sent(c *pair, out *netio.Outgoing) {
	if c == nil {
		return // a probe, which is no traffic: whether it arrived the answer says
	}
	if errors.Is(out.Err, netio.ErrTooBig) {
		w.dropAll(c, dropTooBig, out.Lost)
		w.plane.doubt(c)
		return
	}
	// What did not go was meant to: a path that does not even take packets, as when our address is gone, is one more reason to ask whether the peer can be reached.
	c.lastOut.set(w.nowNano)
	if c.quiet.Load() {
		w.plane.noteUse(c)
	}
	if out.Lost > 0 {
		w.dropAll(c, dropSend, out.Lost)
		if errors.Is(out.Err, netio.ErrNoRoute) {
			w.plane.sourceGone(c, w.nowNano)
		}
	}
}

// flush sends what was posted and passes on all turns.
func (w *worker) flush() {
	w.sendQueued()
	for i := range w.held[:w.holds] {
		w.passOn(w.held[i].order, w.held[i].next)
		w.held[i] = held{}
	}
	w.holds = 0
}
