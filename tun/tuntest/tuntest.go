// Package tuntest is a TUN device in memory, for tests and benchmarks of what reads and writes one.
package tuntest

import (
	"bytes"
	"fmt"
	"os"
	"sync"

	"culvert/tun"

	"golang.org/x/sys/unix"
)

// Queue is a tun.Queue whose other side, the network stack, is the test: what Inject takes is read, what is written Take gives.
// Inject and Take may be called from any goroutine.
type Queue struct {
	mu     sync.Mutex
	in     []tun.Packet // each with Data of its own
	out    []tun.Packet
	limit  int // packets that out may hold
	closed bool
	ready  [2]int // a pipe that holds an octet while in is not empty
	wrote  chan struct{}
}

// defaultLimit bounds what nobody takes, as the kernel's queue does.
const defaultLimit = 1000

// New makes a queue. Close frees it.
func New() (*Queue, error) {
	q := &Queue{limit: defaultLimit, wrote: make(chan struct{}, 1)}
	if err := unix.Pipe(q.ready[:]); err != nil {
		return nil, fmt.Errorf("tuntest: %w", err)
	}
	for _, fd := range q.ready {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("tuntest: %w", err)
		}
	}
	return q, nil
}

// Inject makes p the next but so many packets to be read. It copies p.Data.
func (q *Queue) Inject(p tun.Packet) {
	p.Data = bytes.Clone(p.Data)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if len(q.in) == 0 {
		_, _ = unix.Write(q.ready[1], []byte{0})
	}
	q.in = append(q.in, p)
}

// Take takes the packets written so far, oldest first.
func (q *Queue) Take() []tun.Packet {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.out
	q.out = nil
	return out
}

// Wrote has one slot, filled when something was written.
func (q *Queue) Wrote() <-chan struct{} { return q.wrote }

// SetLimit sets how many written packets may wait for Take; above it Write would block.
func (q *Queue) SetLimit(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = n
}

// Read implements tun.Queue.
func (q *Queue) Read(buf []byte, headroom int, p *tun.Packet) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return os.ErrClosed
	case len(q.in) == 0:
		return tun.ErrWouldBlock
	}
	*p = q.in[0]
	n := copy(buf[headroom:], p.Data)
	p.Data = buf[headroom : headroom+n]
	if q.in = q.in[1:]; len(q.in) == 0 {
		var b [1]byte
		_, _ = unix.Read(q.ready[0], b[:])
	}
	return nil
}

// Write implements tun.Queue.
func (q *Queue) Write(p *tun.Packet, pieces [][]byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return os.ErrClosed
	case len(q.out) >= q.limit:
		return tun.ErrWouldBlock
	}
	w := *p
	w.Data = bytes.Join(pieces, nil)
	q.out = append(q.out, w)
	select {
	case q.wrote <- struct{}{}:
	default:
	}
	return nil
}

// FD implements tun.Queue: it can be polled for reading.
func (q *Queue) FD() int { return q.ready[0] }

// Close implements tun.Queue. The descriptor stays readable until then, for whoever polls it meanwhile to see the end.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	unix.Close(q.ready[1])
	return unix.Close(q.ready[0])
}
