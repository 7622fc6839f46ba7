package dataplane

import (
	"sync/atomic"

	"culvert/tun"
	"culvert/tun/gso"
)

// A readAhead makes a queue whose Read blocks (a library utun has no descriptor to poll) look
// non-blocking: a goroutine reads ahead. It costs a copy and a thread switch per packet, on systems
// that offer nothing better.
type readAhead struct {
	tun.Queue // writes bypass the read-ahead
	full      chan readAheadPacket
	free      chan []byte
	wake      func()
	asleep    atomic.Bool // the worker sleeps or is about to
	ended     atomic.Bool // the queue has ended; Read returns why once full is empty
	done      chan struct{}
	err       error // why the queue ended; set before ended
}

type readAheadPacket struct {
	buf []byte
	pkt gso.Packet
}

// readAheadDepth is the number of packets read ahead.
const readAheadDepth = 16

// newReadAhead starts the goroutine. It ends when the queue's Read fails, or by stop.
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
		p.full <- item // there are as many places as items
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

// mayWait reports whether the worker may sleep. From this call on, the goroutine wakes it.
func (p *readAhead) mayWait() bool {
	p.asleep.Store(true)
	return len(p.full) == 0 && !p.ended.Load()
}

func (p *readAhead) awake() { p.asleep.Store(false) }

// stop closes the queue and waits for the goroutine. The worker must have ended.
func (p *readAhead) stop() {
	p.Queue.Close()
	close(p.free)
	<-p.done
}
