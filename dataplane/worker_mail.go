package dataplane

import (
	"bytes"
	"sync"
	"sync/atomic"

	"culvert/dataplane/netio"
	"culvert/esp"
)

// openMail sends packets from the acquire queue whose SA has come, and receives ESP that reached
// another socket, or came before its SA.
func (w *worker) openMail() {
	list, strays, dummies := w.mail.take()
	w.tx.addMoves(w.mail.takeMoves())
	if copyings := w.mail.takeCopyings(); len(copyings) > 0 {
		w.tx.copyLike(copyings)
	}
	for i := range strays {
		w.rx.batch.rxPlace = rxPlace{order: w.rx.order} // without a ticket
		w.rx.inbound(&strays[i])
		w.rx.openBatch(true)
	}
	for _, c := range list {
		pkt := c.pkt
		space := w.tx.readSpace()
		pkt.Data = space[tunHeadroom : tunHeadroom+copy(space[tunHeadroom:], c.pkt.Data)]
		w.tx.outbound(&pkt, c.since)
	}
	for i := range dummies {
		w.tx.sendDummy(&dummies[i])
	}
}

// A mailbox is where other goroutines leave work for a worker: packets to seal and send, and ESP
// that reached a socket outside the workers or came before its SA.
type mailbox struct {
	wake func()
	full atomic.Bool // something is in it; the worker checks only this, once per turn of its loop
	// early is set if some of that is ESP that came before its SA: the worker receives it before
	// more from its port, which would overtake it.
	early atomic.Bool

	mu       sync.Mutex
	list     []queuedPacket
	strays   []netio.Received
	dummies  []postedDummy
	copyings []*copying
	moves    []sourceMove
}

// maxStrays bounds the number of ESP packets in a mailbox.
const maxStrays = 256

// put adds a packet of the acquire queue, and wakes the worker if the mailbox was empty.
func (m *mailbox) put(c queuedPacket) {
	m.mu.Lock()
	m.list = append(m.list, c)
	m.mu.Unlock()
	m.filled()
}

// putStray adds ESP. It reports false if there is no room.
func (m *mailbox) putStray(r netio.Received) bool {
	m.mu.Lock()
	room := len(m.strays) < maxStrays
	if room {
		m.strays = append(m.strays, r)
	}
	m.mu.Unlock()
	m.filled()
	return room
}

// putEarly adds ESP that came before its SA was installed, the oldest first. It returns how many of
// the packets there is room for.
func (m *mailbox) putEarly(list []earlyPacket) int {
	m.mu.Lock()
	list = list[:min(len(list), max(0, maxStrays-len(m.strays)))]
	for i := range list {
		m.strays = append(m.strays, list[i].datagram)
	}
	m.early.Store(true)
	m.mu.Unlock()
	m.filled()
	return len(list)
}

// putDummy adds a dummy packet to send. It reports false if there is no room.
func (m *mailbox) putDummy(d postedDummy) bool {
	m.mu.Lock()
	room := len(m.dummies) < maxDummies
	if room {
		m.dummies = append(m.dummies, d)
	}
	m.mu.Unlock()
	m.filled()
	return room
}

// putMove adds a move of a pair that the worker sends.
func (m *mailbox) putMove(s sourceMove) {
	m.mu.Lock()
	if len(m.moves) < maxMoves {
		m.moves = append(m.moves, s)
	}
	m.mu.Unlock()
	m.filled()
}

func (m *mailbox) takeMoves() []sourceMove {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.moves
	m.moves = nil
	return list
}

func (m *mailbox) filled() {
	if !m.full.Swap(true) {
		m.wake()
	}
}

func (m *mailbox) take() (list []queuedPacket, strays []netio.Received, dummies []postedDummy) {
	m.full.Store(false)
	m.early.Store(false)
	m.mu.Lock()
	defer m.mu.Unlock()
	list, strays, dummies = m.list, m.strays, m.dummies
	m.list, m.strays, m.dummies = nil, nil, nil
	return list, strays, dummies
}

// Deliver hands ESP that reached a socket outside the workers (see netio.Net.ReadIKE) to the worker
// that its SPI names. It copies r and does not block: without room the packet is dropped and
// counted. Any goroutine may call it.
func (p *Plane) Deliver(r *netio.Received) {
	spi, _ := esp.SPI(r.Data) // any worker may count a packet too short for an SPI
	stray := *r
	stray.Data, stray.More = bytes.Clone(r.Data), false
	if !p.workers[netio.WorkerOf(spi, len(p.workers))].mail.putStray(stray) {
		p.tally.add(dropStray, 1)
	}
}
