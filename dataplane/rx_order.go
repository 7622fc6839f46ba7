package dataplane

import (
	"sync/atomic"

	"culvert/dataplane/netio"
	"culvert/tun"
)

// lane is the way of what comes to one worker's port. All packets of an SA come to one port (the SPI says to which), so that one busy SA would keep one worker
// busy and no other. Therefore a worker with nothing of its own to do helps where there is more than one can do: it receives from the other's port, into its own
// memory, and what one receive brings, a batch, is its to open. Batches bear tickets in the order in which they were received, and two turnstiles keep that order:
//
//	worker 0:  receive 7 | decrypt           | accept 7 | gather | write 7 | receive 9 ...
//	worker 1:      receive 8 | decrypt             | accept 8 | gather | write 8 | receive 10 ...
//
// Accepted in order, the packets of an SA meet its replay window as if one worker had opened them all: the smallest window (RFC 4303, Section 3.4.3) loses none
// that a larger one would not, and which number is the highest so far stays true. What is done before, the choice of the high half of an extended sequence number, sees a window
// that lags by the batches under way; that is the choice of RFC 4303, Appendix A2.2 as long as these are less than 2^32 packets. Written in order, and to the owner's queue, no
// flow is reordered, nor does the kernel, which sends a flow's answers to the queue that its packets came from, spread them.
//
// There is no queue between workers, nothing is copied from one to another, and as long as one does all there is no waiting: its turn has always come.
type rxOrder struct {
	owner  *worker
	shared bool // others may help

	_       [cacheLine]byte
	taken   atomic.Bool // somebody is receiving
	tickets uint64      // handed out; the receiver's
	_       [cacheLine]byte
	behind  atomic.Bool   // help is: the owner cannot keep up
	stolen  atomic.Uint64 // batches that were not the owner's to open
	noCore  atomic.Bool   // there is no core for a helper
	_       [cacheLine]byte

	accepted, written turnstile
}

// place is a batch's among those of its lane.
type rxPlace struct {
	order               *rxOrder
	receiving, ticketed bool // the lane is taken; there is a ticket
	accepting, writing  bool // its turn has come
	accepted            bool // and was passed on
	ticket              uint64
}

// enter makes l the lane that is received from. false: somebody else is receiving.
func (p *rxPlace) enter(l *rxOrder) bool {
	if l.shared && !l.taken.CompareAndSwap(false, true) {
		return false
	}
	*p = rxPlace{order: l, receiving: true}
	return true
}

// number gives the batch its place in the order. It is called while receiving, once there is something.
func (p *rxPlace) number() {
	if p.order.shared && !p.ticketed {
		p.ticket, p.ticketed = p.order.tickets, true
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

// awaitAccept returns when all batches before are accepted.
func (p *rxPlace) awaitAccept() {
	if p.ticketed && !p.accepting {
		p.order.waited(p.order.accepted.wait(p.ticket))
		p.accepting = true
	}
}

func (p *rxPlace) passAccept() {
	if p.ticketed && !p.accepted {
		p.order.accepted.pass(p.ticket + 1)
		p.accepted = true
	}
}

// awaitWrite returns when all that is of batches before is written.
func (p *rxPlace) awaitWrite() {
	if p.ticketed && !p.writing {
		p.order.waited(p.order.written.wait(p.ticket))
		p.writing = true
	}
}

// passWrite ends the batch.
func (p *rxPlace) passWrite() {
	if p.ticketed {
		p.awaitWrite()
		p.order.written.pass(p.ticket + 1)
		p.ticketed = false
	}
}

// giveUp leaves the lane to the others after a bug, wherever that was.
func (p *rxPlace) giveUp() {
	p.leave()
	p.awaitAccept()
	p.passAccept()
	p.passWrite()
}

// giveLanes gives the workers their lanes, which are shared where the queues and the ports can be.
func giveRxOrders(workers []*worker) {
	shared := len(workers) > 1
	for _, w := range workers {
		_, port := w.port.(netio.Helper)
		_, queue := w.queue.(tun.Helper)
		shared = shared && port && queue && w.queue.FD() >= 0
	}
	for _, w := range workers {
		w.rxOrder = &rxOrder{owner: w, shared: shared}
	}
}
