package dataplane

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/gso"
)

func TestNewRefuses(t *testing.T) {
	q, p := newFakeQueue(t), newFakePort(t)
	for _, cfg := range []Config{{}, {Queues: []tun.Queue{q}}, {Queues: []tun.Queue{q, q}, Ports: []netio.Port{p}}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New took %d queues and %d ports", len(cfg.Queues), len(cfg.Ports))
		}
	}
}

func TestRunOnce(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.start(t)
	if err := g.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if err := g.Run(context.Background()); err == nil {
		t.Error("Run ran twice")
	}
	// What comes too late does no harm.
	g.AcquireFailed(lan)
	g.workers[0].mail.put(queuedPacket{thread: &g.workers[0].thread})
}

func TestStopUnderLoad(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	load, done := make(chan struct{}), make(chan struct{})
	super := superPacket(src4, dst4, 1, make([]byte, 60000), 1388)
	go func() {
		defer close(done)
		for {
			select {
			case <-load:
				return
			default:
			}
			for _, q := range append(a.queues, b.queues...) {
				if q.in.len() < 100 {
					q.in.put(nil, super)
				}
			}
		}
	}()
	eventually(t, "load", func() bool { return len(b.queues[0].out) > 1000 })
	start := time.Now()
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("it took %v", d)
	}
	close(load)
	<-done
}

func TestDeviceGone(t *testing.T) {
	gone := errors.New("no such device")
	a, _, _ := tunnel(t, 2)
	a.queues[1].in.put(gone)
	<-a.workersDone(t)
	if err := a.stop(); !errors.Is(err, gone) {
		t.Errorf("Run = %v", err)
	}
}

// workersDone is closed when Run has ended.
func (g *gateway) workersDone(t *testing.T) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		eventually(t, "Run ends by itself", func() bool { return g.workers[0].stopping.Load() && g.workers[1].stopping.Load() })
	}()
	return done
}

func TestPortClosed(t *testing.T) {
	a, _, _ := tunnel(t, 2)
	a.ports[0].in.put(net.ErrClosed)
	<-a.workersDone(t)
	if err := a.stop(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v", err)
	}
}

// TestNoSpinOnErrors: a port that is always readable and always fails must not take all the time,
// nor stop the other direction.
func TestNoSpinOnErrors(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	a.ports[0].in.put(errors.New("network is down"))
	eventually(t, "errors are counted", func() bool { return a.Counters()["net_receive_errors"] > 2*futileCycles })
	start, before := time.Now(), a.Counters()["net_receive_errors"]
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	time.Sleep(10 * futilePause) // to measure a rate
	rate := float64(a.Counters()["net_receive_errors"]-before) / (float64(time.Since(start)) / float64(futilePause))
	if rate > 2*futileCycles {
		t.Errorf("%.0f looks for each pause, want at most %d", rate, futileCycles)
	}
}

func TestPanicLosesOnePacket(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	var n atomic.Int32
	a.ports[0].sending(func(*netio.Outgoing) error {
		if n.Add(1) == 2 {
			panic("a bug")
		}
		return nil
	})
	arrived := func() int { return len(b.queues[0].out) + len(b.queues[1].out) }
	for i := range 10 { // of one SA, by two workers
		a.queues[i%2].inject(udpPacket(src4, dst4, true, nil))
		if i < 3 { // the second by worker 0, alone
			eventually(t, "a packet comes through or the worker panics", func() bool { return arrived()+int(a.Counters()["panics"]) == i+1 })
		}
	}
	eventually(t, "the rest comes through", func() bool { return arrived() == 9 })
	a.wantCounter(t, "panics", 1)
}

// still is a port and a queue that take everything and keep nothing.
type still struct{ last netio.Outgoing }

func (s *still) Recv([]byte, *netio.Received) error         { return netio.ErrWouldBlock }
func (s *still) Send(outs []netio.Outgoing)                 { s.last = outs[len(outs)-1] }
func (s *still) FDs() []int                                 { return nil }
func (s *still) Ready(int)                                  {}
func (s *still) Read([]byte, int, *gso.Packet) error        { return tun.ErrWouldBlock }
func (s *still) Write(p *gso.Packet, pieces [][]byte) error { return nil }
func (s *still) RecvFor(netio.Port, []byte, *netio.Received) error {
	return netio.ErrWouldBlock
}
func (s *still) WriteFor(tun.Queue, *gso.Packet, [][]byte) error { return nil }
func (s *still) ReadFor(tun.Queue, []byte, int, *gso.Packet) error {
	return tun.ErrWouldBlock
}
func (s *still) FD() int      { return 0 }
func (s *still) Close() error { return nil }

// loop is a worker without a thread, both of whose ends are still, with an SA pair to itself.
func loop(t testing.TB, workers int) (*worker, *still) {
	s := &still{}
	return loopOf(t, workers, s, s), s
}

// loopOf is loop with the ends that it is given.
func loopOf(t testing.TB, workers int, queue tun.Queue, port netio.Port) *worker {
	g := newGateway(t, workers, func(c *Config) { c.Queues[0], c.Ports[0] = queue, port })
	sa := childSA(t, g, g, 1)
	sa.LocalTS, sa.RemoteTS = lanA(), lanB()
	if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	// The peer is the other half of the same pair of keys, so that what is sent can be received.
	sa.SPIOut, sa.KeyOut = sa.SPIIn, sa.KeyIn
	sa.ReplayWindow = 0
	sa.LocalTS = append(lanA(), lanB()...)
	sa.RemoteTS = sa.LocalTS
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	g.ActivateOutbound(sa.ID)
	return g.workers[0]
}

// reads is a packet in the place where the worker reads it.
func (w *worker) reads(data []byte) []byte {
	space := w.tx.readSpace()
	return space[tunHeadroom : tunHeadroom+copy(space[tunHeadroom:], data)]
}

// came is the batch of one receive.
func (w *worker) came(r *netio.Received) {
	w.rx.batch.enter(w.rx.order)
	w.rx.batch.number()
	w.rx.received(r)
	w.rx.batch.leave()
	w.rx.openBatch(true)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, workers := range []int{1, 2} {
		w, s := loop(t, workers)
		w.now, w.nowNano = time.Now(), time.Now().UnixNano()
		one, super := udpPacket(src4, dst4, true, make([]byte, 1200)), superPacket(src6, dst6, 1, make([]byte, 60000), 1300)
		pkt := gso.Packet{}
		out := testing.AllocsPerRun(200, func() {
			pkt = gso.Packet{Data: w.reads(one)}
			w.tx.outbound(&pkt, w.now)
			pkt = super
			pkt.Data = w.reads(super.Data)
			w.tx.outbound(&pkt, w.now)
			w.tx.out.flush()
		})
		recv := netio.Received{Data: make([]byte, len(s.last.Data)), SegSize: s.last.SegSize, Path: s.last.Path}
		sealed := bytes.Clone(s.last.Data)
		in := testing.AllocsPerRun(200, func() {
			copy(recv.Data, sealed)
			w.came(&recv)
		})
		if out != 0 || in != 0 {
			t.Errorf("%d workers: %v allocations for a packet and a super-packet out, %v for a run in", workers, out, in)
		}
		if st, _ := w.plane.ChildStats(1); st.PacketsIn == 0 || st.PacketsOut == 0 {
			t.Errorf("nothing was carried: %+v", st)
		}
		for name, n := range w.plane.Counters() {
			if n != 0 {
				t.Errorf("counter %s = %d", name, n)
			}
		}
	}
}

func BenchmarkOutboundSuper(b *testing.B) {
	w, _ := loop(b, 1)
	w.benchmarkOutbound(b, superPacket(src4, dst4, 1, make([]byte, 60000), 1388))
}

func BenchmarkOutboundSmall(b *testing.B) {
	w, _ := loop(b, 1)
	w.benchmarkOutbound(b, smallPacket())
}

func smallPacket() gso.Packet { return gso.Packet{Data: udpPacket(src4, dst4, true, make([]byte, 64))} }

func (w *worker) benchmarkOutbound(b *testing.B, p gso.Packet) {
	w.now = time.Now()
	b.SetBytes(int64(len(p.Data)))
	for b.Loop() {
		pkt := p
		pkt.Data = w.reads(p.Data)
		w.tx.outbound(&pkt, w.now)
		w.tx.out.flush()
	}
}

func BenchmarkInboundRun(b *testing.B) {
	w, s := loop(b, 1)
	w.now = time.Now()
	pkt := superPacket(src4, dst4, 1, make([]byte, 60000), 1388)
	pkt.Data = w.reads(pkt.Data)
	w.tx.outbound(&pkt, w.now)
	recv := netio.Received{Data: make([]byte, len(s.last.Data)), SegSize: s.last.SegSize, Path: s.last.Path}
	sealed := bytes.Clone(s.last.Data)
	b.SetBytes(int64(len(sealed)))
	for b.Loop() {
		copy(recv.Data, sealed)
		w.came(&recv)
	}
}
