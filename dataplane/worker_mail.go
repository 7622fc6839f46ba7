package dataplane

import (
	"bytes"
	"culvert/dataplane/netio"
	"culvert/esp"
	"sync"
	"sync/atomic"
)

// openMail sends packets that were kept until their SA came, and receives ESP that came to another socket.
func (w *worker) openMail() {
	list, strays, dummies := w.mail.take()
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

// mailbox is where other goroutines leave packets for a worker: to be sealed and sent, or ESP that came to a socket that is none of a worker's.
type mailbox struct {
	wake func()
	full atomic.Bool // something is in it: all that the worker looks at, once a turn

	mu      sync.Mutex
	list    []queuedPacket
	strays  []netio.Received
	dummies []postedDummy
}

// maxStrays bounds the ESP in a mailbox.
const maxStrays = 256

// put adds a packet that was kept, and wakes the worker if it may not know yet that there is something.
func (m *mailbox) put(c queuedPacket) {
	m.mu.Lock()
	m.list = append(m.list, c)
	m.mu.Unlock()
	m.filled()
}

// putStray adds ESP. False: there is no room.
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

// putDummy adds a dummy packet to be sent. False: there is no room.
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

func (m *mailbox) filled() {
	if !m.full.Swap(true) {
		m.wake()
	}
}

func (m *mailbox) take() (list []queuedPacket, strays []netio.Received, dummies []postedDummy) {
	m.full.Store(false)
	m.mu.Lock()
	defer m.mu.Unlock()
	list, strays, dummies = m.list, m.strays, m.dummies
	m.list, m.strays, m.dummies = nil, nil, nil
	return list, strays, dummies
}

// Deliver takes ESP that came to a socket that is none of a worker's, as netio.Net.ReadIKE may say, to the worker that its SPI names. It copies r, and does
// not block: what there is no room for is dropped and counted. Any goroutine.
func (p *Plane) Deliver(r *netio.Received) {
	spi, _ := esp.SPI(r.Data) // what is too short for one is any worker's to count
	stray := *r
	stray.Data, stray.More = bytes.Clone(r.Data), false
	if !p.workers[spi%uint32(len(p.workers))].mail.putStray(stray) {
		p.tally.add(dropStray, 1)
	}
}
