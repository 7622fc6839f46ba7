package dataplane

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/gso"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// An inbox is a queue that a worker can poll: a list, and a descriptor that is readable while the
// list has items.
type inbox[T any] struct {
	mu          sync.Mutex
	list        []T
	err         error
	read, write int
}

func (b *inbox[T]) open(t testing.TB) {
	t.Helper()
	var err error
	if b.read, b.write, err = openWake(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(b.read)
		if b.write != b.read {
			unix.Close(b.write)
		}
	})
}

// put adds items, or the inbox's end.
func (b *inbox[T]) put(err error, items ...T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) == 0 {
		_, _ = unix.Write(b.write, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	b.list = append(b.list, items...)
	b.err = err
}

// empty reports whether all has been taken.
func (b *inbox[T]) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.list) == 0
}

var errEmpty = errors.New("empty")

func (b *inbox[T]) take() (item T, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) == 0 {
		if b.err != nil {
			return item, b.err
		}
		return item, errEmpty
	}
	item = b.list[0]
	b.list = b.list[1:]
	if len(b.list) == 0 && b.err == nil {
		var sink [8]byte
		_, _ = unix.Read(b.read, sink[:])
	}
	return item, nil
}

func (b *inbox[T]) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.list)
}

// fakeQueue is a TUN queue in memory. It cuts super-packets that are written.
type fakeQueue struct {
	in       inbox[gso.Packet]
	out      chan []byte
	writes   atomic.Int64
	reads    atomic.Int64
	writeErr atomic.Pointer[error]
	onWrite  func()          // before each
	onRead   func()          // after each for another worker
	blocking chan gso.Packet // not nil: no descriptor, Read blocks
	closed   bool
}

func newFakeQueue(t testing.TB) *fakeQueue {
	q := &fakeQueue{out: make(chan []byte, 1<<16)}
	q.in.open(t)
	return q
}

func (q *fakeQueue) Read(buf []byte, headroom int, p *gso.Packet) error {
	if q.blocking != nil {
		pkt, ok := <-q.blocking
		if !ok {
			return errors.New("closed")
		}
		*p = pkt
		p.Data = buf[headroom : headroom+copy(buf[headroom:], pkt.Data)]
		return nil
	}
	q.reads.Add(1)
	pkt, err := q.in.take()
	if errors.Is(err, errEmpty) {
		return tun.ErrWouldBlock
	}
	if err != nil {
		return err
	}
	*p = pkt
	p.Data = buf[headroom : headroom+copy(buf[headroom:], pkt.Data)]
	return nil
}

func (q *fakeQueue) Write(p *gso.Packet, pieces [][]byte) error {
	if err := q.writeErr.Load(); err != nil {
		return *err
	}
	if q.onWrite != nil {
		q.onWrite()
	}
	q.writes.Add(1)
	whole := *p
	whole.Data = bytes.Join(pieces, nil)
	var cut gso.Segmenter
	if err := cut.Reset(&whole); err != nil {
		return err
	}
	for pkt := cut.Next(); pkt != nil; pkt = cut.Next() {
		select {
		case q.out <- bytes.Clone(pkt):
		default:
			return tun.ErrWouldBlock
		}
	}
	return nil
}

// ReadFor implements tun.Helper.
func (q *fakeQueue) ReadFor(host tun.Queue, buf []byte, headroom int, p *gso.Packet) error {
	err := host.(*fakeQueue).Read(buf, headroom, p)
	if f := host.(*fakeQueue).onRead; f != nil && err == nil {
		f()
	}
	return err
}

// WriteFor implements tun.Helper.
func (q *fakeQueue) WriteFor(host tun.Queue, p *gso.Packet, pieces [][]byte) error {
	return host.(*fakeQueue).Write(p, pieces)
}

func (q *fakeQueue) FD() int {
	if q.blocking != nil {
		return -1
	}
	return q.in.read
}

func (q *fakeQueue) Close() error {
	if q.blocking != nil && !q.closed {
		close(q.blocking)
	}
	return nil
}

// inject makes the worker read packets.
func (q *fakeQueue) inject(pkts ...[]byte) {
	for _, b := range pkts {
		q.in.put(nil, gso.Packet{Data: bytes.Clone(b)})
	}
}

// want is the next packet that was written.
func (q *fakeQueue) want(t *testing.T) []byte {
	t.Helper()
	select {
	case b := <-q.out:
		return b
	case <-time.After(patience):
		t.Fatal("nothing was written to the TUN")
		return nil
	}
}

// wantIdle fails if anything was written.
func (q *fakeQueue) wantIdle(t *testing.T) {
	t.Helper()
	select {
	case b := <-q.out:
		t.Errorf("this was written to the TUN: %x", b)
	default:
	}
}

// fakePort is a port whose sends arrive at the peer's ports, spread over them flow by flow as
// SO_REUSEPORT does: here, worker by worker.
type fakePort struct {
	in    inbox[netio.Received]
	peer  *fakePort
	burst bool // Recv gave one of a burst, and not the last

	source uint16 // a source port besides that of a path; 0: none

	onRecv func() // after each receive that returned something

	mu     sync.Mutex
	onSend func(out *netio.Outgoing) error // may change what is sent; an error loses it
	onWire func(out *netio.Outgoing)
	calls  int // of Send
}

func newFakePort(t testing.TB) *fakePort {
	p := &fakePort{}
	p.in.open(t)
	return p
}

// sending makes f see, change or refuse what is sent.
func (p *fakePort) sending(f func(out *netio.Outgoing) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onSend = f
}

// wiretap shows f what leaves, in its order.
func (p *fakePort) wiretap(f func(out *netio.Outgoing)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onWire = f
}

func (p *fakePort) Recv(buf []byte, in *netio.Received) error { return p.RecvFor(p, buf, in) }

// RecvFor implements netio.Helper.
func (p *fakePort) RecvFor(host netio.Port, buf []byte, in *netio.Received) error {
	r, err := host.(*fakePort).in.take()
	if errors.Is(err, errEmpty) {
		return netio.ErrWouldBlock
	}
	if err != nil {
		return err
	}
	if f := host.(*fakePort).onRecv; f != nil {
		f()
	}
	*in = r
	in.Data = buf[:copy(buf, r.Data)]
	if p.burst || r.More {
		in.Data = bytes.Clone(r.Data) // valid through the whole burst
	}
	p.burst = r.More
	return nil
}

func (p *fakePort) Send(outs []netio.Outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	for i := range outs {
		o := outs[i]
		o.Data = bytes.Clone(o.Data)
		outs[i].Lost, outs[i].Err = 0, nil
		if p.onSend != nil {
			if err := p.onSend(&o); err != nil {
				outs[i].Lost, outs[i].Err = o.Datagrams(), err
				continue
			}
		}
		p.deliver(o)
	}
}

func (p *fakePort) deliver(o netio.Outgoing) {
	if p.onWire != nil {
		p.onWire(&o)
	}
	if p.peer != nil {
		p.peer.in.put(nil, netio.Received{Data: o.Data, SegSize: o.SegSize, Path: back(o.Path), TOS: o.TOS})
	}
}

// Source implements netio.Sourcer.
func (p *fakePort) Source(path ipsec.Path) (ipsec.Path, bool) {
	return path.WithLocalPort(p.source), p.source != 0 && path.Via() == ipsec.NAT
}

func (p *fakePort) FDs() []int { return []int{p.in.read} }

// Ready changes nothing: the list says at once whether there is something in it.
func (p *fakePort) Ready(int) {}

var (
	outerA = netip.MustParseAddrPort("192.0.2.1:4500")
	outerB = netip.MustParseAddrPort("192.0.2.2:4500")
)
