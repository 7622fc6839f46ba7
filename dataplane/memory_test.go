package dataplane

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/dataplane/netio"
	"culvert/tun"
)

// supply is what the queues and ports in memory of a benchmark have in common: how much is left to hand out, and how much of it is still under way.
type supply struct {
	_    [cacheLine]byte
	left atomic.Int64
	_    [cacheLine]byte
	away atomic.Int64
	_    [cacheLine]byte
	done chan struct{}
	taps []*tap
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
	p := &tap{s, read, write}
	s.taps = append(s.taps, p)
	return p
}

// run hands out n items and returns when all have come out again.
func (s *supply) run(n int) {
	s.away.Store(int64(n))
	s.left.Store(int64(n))
	for _, p := range s.taps {
		_, _ = unix.Write(p.write, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	<-s.done
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

// sourceQueue hands out one super-packet again and again, where it lies.
type sourceQueue struct {
	still
	*tap
	super tun.Packet
	head  []byte
}

// newSourceQueue makes one of the super-packet p.
func newSourceQueue(t *tap, p tun.Packet) *sourceQueue {
	data := make([]byte, len(p.Data), len(p.Data)+tunTailroom)
	p.Data = data[:copy(data, p.Data)]
	return &sourceQueue{tap: t, super: p, head: append([]byte(nil), p.Data[:p.HdrLen]...)}
}

func (q *sourceQueue) Read(_ []byte, _ int, p *tun.Packet) error {
	if !q.take() {
		return tun.ErrWouldBlock
	}
	copy(q.super.Data, q.head) // the sealing of the last has left other headers there
	*p = q.super
	return nil
}

func (q *sourceQueue) FD() int { return q.read }

// sinkPort takes everything: each send is an item that came out.
type sinkPort struct {
	still
	*supply
}

func (p *sinkPort) Send(outs []netio.Outgoing) { p.came(len(outs)) }
