// Package netiotest is a wire in memory between two netio.Ports, for tests and benchmarks of what sends and receives on them.
package netiotest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"culvert/dataplane/netio"

	"golang.org/x/sys/unix"
)

// Fate says what becomes of a datagram on the wire.
type Fate uint8

// What a wire may do.
const (
	Pass      Fate = iota
	Drop           // it is lost
	Duplicate      // it arrives twice
	Delay          // it arrives after the next one that passes
)

// Port is one end of a wire. All its methods may be called from any goroutine.
type Port struct {
	mu     sync.Mutex
	queue  []netio.Received // each with Data of its own
	held   *netio.Received  // delayed
	limit  int
	mtu    int // outer packets above it are too big; 0: none are
	fate   func(n int, out *netio.Outgoing) Fate
	sent   int
	closed bool
	ready  [2]int // a pipe that holds an octet while queue is not empty
	peer   *Port
}

// defaultLimit bounds what nobody receives, as a socket buffer does: what comes above it is lost.
const defaultLimit = 4096

// Pair makes the two ends of a wire. Close both.
func Pair() (a, b *Port, err error) {
	if a, err = newPort(); err != nil {
		return nil, nil, err
	}
	if b, err = newPort(); err != nil {
		a.Close()
		return nil, nil, err
	}
	a.peer, b.peer = b, a
	return a, b, nil
}

func newPort() (*Port, error) {
	p := &Port{limit: defaultLimit}
	if err := unix.Pipe(p.ready[:]); err != nil {
		return nil, fmt.Errorf("netiotest: %w", err)
	}
	for _, fd := range p.ready {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("netiotest: %w", err)
		}
	}
	return p, nil
}

// SetFate makes f decide on each datagram that this end sends; n counts them from 0. f is called with a lock held.
func (p *Port) SetFate(f func(n int, out *netio.Outgoing) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = f
}

// SetMTU sets the path MTU for what this end sends, IP headers counted as netio's sockets would add them.
func (p *Port) SetMTU(mtu int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mtu = mtu
}

// Inject lets in arrive at this end as if the wire had brought it. It copies in.Data.
func (p *Port) Inject(in netio.Received) {
	in.Data = bytes.Clone(in.Data)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrive(in)
}

func (p *Port) arrive(in netio.Received) {
	if p.closed || len(p.queue) >= p.limit {
		return
	}
	if len(p.queue) == 0 {
		_, _ = unix.Write(p.ready[1], []byte{0})
	}
	p.queue = append(p.queue, in)
}

// Recv implements netio.Port.
func (p *Port) Recv(buf []byte, in *netio.Received) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return net.ErrClosed
	case len(p.queue) == 0:
		return netio.ErrWouldBlock
	}
	*in = p.queue[0]
	in.Data = buf[:copy(buf, in.Data)]
	if p.queue = p.queue[1:]; len(p.queue) == 0 {
		var b [1]byte
		_, _ = unix.Read(p.ready[0], b[:])
	}
	return nil
}

// Send implements netio.Port. Each datagram of a run meets its own fate; those that pass one after another arrive as a run.
func (p *Port) Send(out *netio.Outgoing) error {
	size := out.SegSize
	if size <= 0 || size > len(out.Data) {
		size = len(out.Data)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return net.ErrClosed
	}
	if p.mtu > 0 && !out.Fragment && size+overhead(out) > p.mtu {
		p.mu.Unlock()
		return netio.ErrTooBig
	}
	arriving := p.decide(out, size)
	p.mu.Unlock()
	p.peer.mu.Lock()
	defer p.peer.mu.Unlock()
	for _, in := range arriving {
		p.peer.arrive(in)
	}
	return nil
}

// decide cuts out into what arrives at the other end, in order.
func (p *Port) decide(out *netio.Outgoing, size int) []netio.Received {
	if p.fate == nil {
		return []netio.Received{received(out, out.Data, out.SegSize)}
	}
	var arriving []netio.Received
	for rest := out.Data; len(rest) > 0; {
		d := rest[:min(size, len(rest))]
		rest = rest[len(d):]
		f := p.fate(p.sent, out)
		p.sent++
		in := received(out, d, 0)
		switch f {
		case Drop:
			continue
		case Delay:
			if p.held == nil {
				p.held = &in
				continue
			}
		case Duplicate:
			arriving = append(arriving, received(out, d, 0))
		}
		arriving = append(arriving, in)
		if p.held != nil {
			arriving, p.held = append(arriving, *p.held), nil
		}
	}
	return arriving
}

func received(out *netio.Outgoing, data []byte, size int) netio.Received {
	if size >= len(data) {
		size = 0
	}
	in := netio.Received{Kind: netio.ESP, Data: bytes.Clone(data), SegSize: size, Local: out.Remote, Remote: out.Local, Encap: out.Encap, TOS: out.TOS}
	if !out.Encap {
		in.Local, in.Remote = netip.AddrPortFrom(in.Local.Addr(), 0), netip.AddrPortFrom(in.Remote.Addr(), 0)
	}
	return in
}

// overhead is the length of the headers that netio's sockets put before a datagram.
func overhead(out *netio.Outgoing) int {
	n := 20
	if out.Remote.Addr().Is6() {
		n = 40
	}
	if out.Encap {
		n += 8
	}
	return n
}

// Flush implements netio.Port.
func (p *Port) Flush() error { return nil }

// FDs implements netio.Port.
func (p *Port) FDs() []int { return []int{p.ready[0]} }

// Close ends this end of the wire.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	unix.Close(p.ready[1])
	return unix.Close(p.ready[0])
}
