package dataplane

import (
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/gso"

	"golang.org/x/sys/unix"
)

// A supply is what the in-memory queues and ports of a benchmark share: the number of items left to
// hand out, and of those still under way.
type supply struct {
	_    [cacheLine]byte
	left atomic.Int64
	_    [cacheLine]byte
	away atomic.Int64
	_    [cacheLine]byte
	done chan struct{}
	taps []*tap // of what hands out
}

// tap is a descriptor that is readable while there is something left.
type tap struct {
	*supply
	read, write int
}

func newSupply() *supply { return &supply{done: make(chan struct{}, 1)} }

func (s *supply) newTap(t testing.TB) *tap {
	t.Helper()
	read, write, err := openWake()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(read)
		if write != read {
			unix.Close(write)
		}
	})
	return &tap{s, read, write}
}

// run hands out n items and returns when each items made of every one of them have come out.
func (s *supply) run(n, each int) {
	s.away.Store(int64(n * each))
	s.left.Store(int64(n))
	for _, p := range s.taps {
		_, _ = unix.Write(p.write, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	for before := int64(0); ; before = s.away.Load() {
		select {
		case <-s.done:
			return
		case <-time.After(patience):
			if s.away.Load() == before {
				panic("packets of a benchmark were dropped: the machine has too much other work")
			}
		}
	}
}

// take takes one item, if there is one.
func (p *tap) take() bool {
	if p.left.Load() > 0 && p.left.Add(-1) >= 0 {
		return true
	}
	var sink [8]byte
	_, _ = unix.Read(p.read, sink[:])
	return false
}

// came says that n items have come out.
func (s *supply) came(n int) {
	if s.away.Add(int64(-n)) == 0 {
		s.done <- struct{}{}
	}
}

// sourceQueue hands out one packet again and again, a super-packet where it lies.
type sourceQueue struct {
	still
	*tap
	super gso.Packet
	head  []byte
}

// newSourceQueue makes one of the super-packet p.
func newSourceQueue(t *tap, p gso.Packet) *sourceQueue {
	data := make([]byte, len(p.Data), len(p.Data)+tunTailroom)
	p.Data = data[:copy(data, p.Data)]
	t.taps = append(t.taps, t)
	return &sourceQueue{tap: t, super: p, head: append([]byte(nil), p.Data[:p.HdrLen]...)}
}

func (q *sourceQueue) Read(buf []byte, headroom int, p *gso.Packet) error {
	return q.readFrom(q.tap, buf, headroom, p)
}

// ReadFor implements tun.Helper: what is handed out lies in the reader's memory.
func (q *sourceQueue) ReadFor(host tun.Queue, buf []byte, headroom int, p *gso.Packet) error {
	return q.readFrom(host.(*sourceQueue).tap, buf, headroom, p)
}

func (q *sourceQueue) readFrom(t *tap, buf []byte, headroom int, p *gso.Packet) error {
	if !t.take() {
		return tun.ErrWouldBlock
	}
	copy(q.super.Data, q.head) // the sealing of the last has left other headers there
	*p = q.super
	if p.GSO == gso.None {
		p.Data = buf[headroom : headroom+copy(buf[headroom:], q.super.Data)]
	}
	return nil
}

func (q *sourceQueue) FD() int { return q.read }

// sinkPort takes everything: each send is an item that came out.
type sinkPort struct {
	still
	*supply
}

func (p *sinkPort) Send(outs []netio.Outgoing) { p.came(len(outs)) }

// ringPort hands out sealed runs in place, each once. fill seals them again, with new sequence
// numbers.
type ringPort struct {
	still
	*tap
	peer  *esp.Outbound
	plain [][]byte // the packets of a run
	size  int      // octets of a sealed run
	ring  []byte
	next  int // octets of ring that were handed out; the receiver's
}

// ringRuns is the number of runs: with 64 KB each more than the caches of a core hold, so that
// reading them has its real cost.
const ringRuns = 1024

// newRingPort returns a ringPort whose runs are the segments of the super-packet p, sealed by the
// peer. Only one of a plane's ports has a peer.
func newRingPort(t *tap, p gso.Packet, peer *esp.Outbound) *ringPort {
	r := &ringPort{tap: t, peer: peer}
	var cut gso.Segmenter
	if cut.Reset(&p) != nil {
		return r
	}
	for pkt := cut.Next(); pkt != nil; pkt = cut.Next() {
		r.plain = append(r.plain, append([]byte(nil), pkt...))
		r.size += gcmFormat.SealedLen(len(pkt))
	}
	if peer != nil {
		t.taps = append(t.taps, t)
		r.ring = make([]byte, ringRuns*r.size+tunTailroom)
	}
	return r
}

// fill seals n runs.
func (r *ringPort) fill(n int) {
	var s esp.Scratch
	r.next = 0
	for at := 0; at < n*r.size; {
		for _, pkt := range r.plain {
			seq, _, err := r.peer.Reserve(1, len(pkt))
			if err != nil {
				panic(err)
			}
			at += len(r.peer.Seal(&s, r.ring[at:], seq, pkt, esp.NextIPv4))
		}
	}
}

func (r *ringPort) Recv(buf []byte, in *netio.Received) error { return r.RecvFor(r, buf, in) }

func (r *ringPort) RecvFor(host netio.Port, _ []byte, in *netio.Received) error {
	h := host.(*ringPort)
	if h.peer == nil || !h.take() {
		return netio.ErrWouldBlock
	}
	run := h.ring[h.next : h.next+h.size]
	h.next += h.size
	*in = netio.Received{Data: run, SegSize: gcmFormat.SealedLen(len(h.plain[0])), Path: ipsec.NATPath(outerA, outerB)}
	return nil
}

func (r *ringPort) FDs() []int { return []int{r.read} }

// sinkQueue takes everything: each packet is an item that came out.
type sinkQueue struct {
	still
	*tap // which nothing is ever taken from
}

func (q *sinkQueue) Write(_ *gso.Packet, packets [][]byte) error {
	q.came(len(packets))
	return nil
}

func (q *sinkQueue) FD() int { return q.read }

func (q *sinkQueue) WriteFor(_ tun.Queue, p *gso.Packet, packets [][]byte) error {
	return q.Write(p, packets)
}
