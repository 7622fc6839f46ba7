package dataplane

import (
	"sync/atomic"

	"culvert/tun"
	"culvert/tun/gso"
)

// pump makes a queue whose Read blocks (utun by its library has no descriptor to poll) look like one that does not: a goroutine reads ahead. It costs a
// copy and a change of threads for each packet, on systems where there is no better.
type readAhead struct {
	tun.Queue // writes go straight through
	full      chan readAheadPacket
	free      chan []byte
	wake      func()
	asleep    atomic.Bool // the worker is about to sleep or does
	ended     atomic.Bool // the queue's end, which Read will tell when full is empty
	done      chan struct{}
	err       error // why; set before ended
}

type readAheadPacket struct {
	buf []byte
	pkt gso.Packet
}

// pumpDepth is how many packets are read ahead.
const readAheadDepth = 16

// newPump starts the goroutine. It ends when the queue's Read fails, or by stop.
func newReadAhead(q tun.Queue, wake func()) *readAhead {
	p := &readAhead{Queue: q, full: make(chan readAheadPacket, readAheadDepth), free: make(chan []byte, readAheadDepth), wake: wake, done: make(chan struct{})}
	for range readAheadDepth {
		p.free <- make([]byte, tunHeadroom+gso.MaxPacket+tunTailroom)
	}
	go p.run()
	return p
}

func (p *readAhead) run() {
	defer close(p.done)
	defer p.wakeUp()
	for buf := range p.free {
		item := readAheadPacket{buf: buf}
		if p.err = p.Queue.Read(buf, tunHeadroom, &item.pkt); p.err != nil {
			p.ended.Store(true)
			return
		}
		p.full <- item // there are no more items than places
		p.wakeUp()
	}
}

func (p *readAhead) wakeUp() {
	if p.asleep.Load() {
		p.wake()
	}
}

// Read implements tun.Queue without blocking.
func (p *readAhead) Read(buf []byte, headroom int, pkt *gso.Packet) error {
	select {
	case item := <-p.full:
		*pkt = item.pkt
		pkt.Data = buf[headroom : headroom+copy(buf[headroom:], item.pkt.Data)]
		p.free <- item.buf
		return nil
	default:
		if p.ended.Load() && len(p.full) == 0 {
			return p.err
		}
		return tun.ErrWouldBlock
	}
}

// mayWait is asked before the worker sleeps: from here on the goroutine wakes it, if there is nothing yet.
func (p *readAhead) mayWait() bool {
	p.asleep.Store(true)
	return len(p.full) == 0 && !p.ended.Load()
}

func (p *readAhead) awake() { p.asleep.Store(false) }

// stop closes the queue and waits for the goroutine. The worker has ended.
func (p *readAhead) stop() {
	p.Queue.Close()
	close(p.free)
	<-p.done
}
