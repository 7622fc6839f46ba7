package dataplane

import (
	"runtime"
	"sync/atomic"

	"culvert/dataplane/netio"
	"culvert/dataplane/turnstile"
	"culvert/tun"
)

// rxOrder is the receive order of one worker's port. All packets of an SA come to one port (the SPI
// names it), so that one busy SA would keep one worker busy and no other. Therefore a worker that
// has nothing of its own to do steals from a port with a backlog: it receives from it, into its own
// memory, and what one receive brings, a batch, is its to open. Batches have tickets in the order
// in which they were received, and two turnstiles keep that order:
//
//	worker 0:  receive 7 | decrypt           | accept 7 | gather | write 7 | receive 9 ...
//	worker 1:      receive 8 | decrypt             | accept 8 | gather | write 8 | receive 10 ...
//
// A worker whose turn has not come looks for it for 2 us, and then leaves its batch as it is until
// a later cycle: meanwhile it sends what its own queue has. What is to be written is noted while
// the turn to write has not come. So nobody waits for a worker that does not run, except with a
// batch that is full before the receive ends.
//
// Accepted in order, the packets of an SA meet its replay window as if one worker had opened them
// all: the smallest window (RFC 4303, Section 3.4.3) loses none that a larger one would not, and
// which number is the highest so far stays true. What is done before, the choice of the high half
// of an extended sequence number, sees a window that lags by the batches under way; that is the
// choice of RFC 4303, Appendix A2.2 as long as these are less than 2^32 packets. Written in order,
// and each to one queue (queueFor), no flow is reordered, nor are its answers, which the kernel
// sends to the queue that its packets came from.
//
// There is no queue between workers, and nothing is copied from one to another. As long as one
// worker does everything it never waits: its turn has always come.
type rxOrder struct {
	owner  *rx
	shared bool // others may steal

	_       [cacheLine]byte
	taken   atomic.Bool // a worker is receiving
	tickets uint64      // handed out; the receiver's
	_       [cacheLine]byte
	loot
	_ [cacheLine]byte

	accepted, written turnstile.Turnstile
}

// rxPlace is the place of a batch in the receive order.
type rxPlace struct {
	order         *rxOrder
	receiving     bool // the order is taken
	ticket        uint64
	accept, write turn // the ticket's, at both turnstiles
}

// turn is what a worker has of the turn of a ticket.
type turn uint8

const (
	noTurn  turn = iota // there is no ticket
	awaited             // the turn was not asked for yet
	ours                // it has come
	late                // it has not come; the packets wait in the lateQueue
	passed              // it was ours, and is the next ticket's
)

// enter starts a receive from the port of o. It reports false if another worker is receiving.
func (p *rxPlace) enter(o *rxOrder) bool {
	if o.shared && !o.taken.CompareAndSwap(false, true) {
		return false
	}
	*p = rxPlace{order: o, receiving: true}
	return true
}

// number gives the batch its place in the order. It is called while receiving, once there is
// something.
func (p *rxPlace) number() {
	if p.order.shared && p.write == noTurn {
		p.ticket, p.accept, p.write = p.order.tickets, awaited, awaited
		p.order.tickets++
	}
}

// leave ends the receiving.
func (p *rxPlace) leave() {
	if p.receiving && p.order.shared {
		p.order.taken.Store(false)
	}
	p.receiving = false
}

// alone reports whether all batches before are accepted, and other workers do not steal from the
// port. Nobody is then kept waiting while the batch is decrypted and accepted packet by packet.
func (p *rxPlace) alone() bool {
	if p.accept == awaited && p.order.accepted.Reached(p.ticket) && !p.order.behind.Load() {
		p.accept = ours
	}
	return p.accept != awaited
}

// awaitAccept returns when all batches before are accepted.
func (p *rxPlace) awaitAccept() {
	if p.accept == awaited {
		if p.order.accepted.Wait(p.ticket) {
			p.order.waitedLong()
		}
		p.accept = ours
	}
}

// mayAccept reports whether all batches before are accepted, or very soon.
func (p *rxPlace) mayAccept() bool {
	if p.accept == awaited && p.order.accepted.Spin(p.ticket) {
		p.accept = ours
	}
	return p.accept != awaited
}

// mayWrite reports whether all batches before are written.
func (p *rxPlace) mayWrite() bool {
	if p.write == awaited && p.order.written.Reached(p.ticket) {
		p.write = ours
	}
	return p.write != awaited
}

// mayWriteSoon reports whether all batches before are written, or very soon.
func (p *rxPlace) mayWriteSoon() bool {
	return p.mayWrite() || p.order.written.Spin(p.ticket) && p.mayWrite()
}

// passAccept lets the next batch be accepted. The turn of this one has come.
func (p *rxPlace) passAccept() {
	if p.accept == ours {
		p.order.accepted.Pass(p.ticket + 1)
		p.accept = passed
	}
}

// awaitWrite returns when all batches before are written.
func (p *rxPlace) awaitWrite() {
	if p.write == awaited {
		if p.order.written.Wait(p.ticket) {
			p.order.waitedLong()
		}
		p.write = ours
	}
}

// passWrite ends the batch.
func (p *rxPlace) passWrite() {
	if p.awaitWrite(); p.write == ours {
		p.order.written.Pass(p.ticket + 1)
		p.write = passed
	}
}

// giveUp lets the other workers pass after a panic, wherever it was.
func (p *rxPlace) giveUp() {
	p.leave()
	p.awaitAccept()
	p.passAccept()
	p.passWrite()
}

// queueFor returns the queue to write a packet of c to, which begins with an IP header: the
// owner's, or, where the peer makes SAs for single workers, the one that its flow has (flowHash).
func (o *rxOrder) queueFor(c *pair, workers []*worker, pkt []byte) tun.Queue {
	if !o.shared || !c.sa.PerResource {
		return o.owner.queue
	}
	return workers[uint64(flowHash(pkt))*uint64(len(workers))>>32].rx.queue
}

// missed records that the turn of the batch has not come. It returns false.
func (r *rx) missed() bool {
	b := &r.batch
	if b.since == 0 {
		b.since = r.nowNano
	} else if r.nowNano-b.since >= int64(turnstile.LongWait) {
		b.order.waitedLong()
	}
	return false
}

// finish waits for the turns of the batch: a worker that ends must not leave others without theirs.
func (r *rx) finish() {
	for !r.proceed() {
		turnstile.Yield()
		runtime.Gosched()
	}
}

// caughtUp records that the port is dry.
func (r *rx) caughtUp() {
	r.backlog.cycles = 0
	if o := r.order; o.behind.Load() {
		o.behind.Store(false)
	}
}

// giveRxOrders gives each worker its receive order, which is shared if the queues and the ports can
// be.
func giveRxOrders(workers []*worker) {
	shared := len(workers) > 1
	for _, w := range workers {
		_, port := w.rx.port.(netio.Helper)
		_, queue := w.rx.queue.(tun.Helper)
		shared = shared && port && queue && w.rx.queue.FD() >= 0
	}
	for _, w := range workers {
		w.rx.order = &rxOrder{owner: &w.rx, shared: shared}
	}
}
