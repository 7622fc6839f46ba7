package dataplane

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/dataplane/netio"
	"culvert/tun"
	"culvert/tun/gso"
)

// TestNothingIsReadInVain: what comes to the port costs no look at the TUN, which has nothing.
func TestNothingIsReadInVain(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt)
	b.queues[0].want(t) // at the latest here the first look is over
	before := b.queues[0].reads.Load()
	for range 100 {
		a.queues[0].inject(pkt)
		b.queues[0].want(t)
	}
	if n := b.queues[0].reads.Load() - before; n != 0 {
		t.Errorf("%d reads of the TUN for 100 packets that came to the port", n)
	}
	b.queues[0].inject(udpPacket(dst4, src4, true, nil))
	a.queues[0].want(t)
}

// watched is an endless queue, and a port that notes what it is told; both can be polled.
type watched struct {
	still
	queueFD, portFD int
	pkt             []byte
	told            []int
	left            int // packets in the port
	took            int
}

func (w *watched) FD() int     { return w.queueFD }
func (w *watched) FDs() []int  { return []int{w.portFD} }
func (w *watched) Ready(i int) { w.told = append(w.told, i) }

func (w *watched) Read(buf []byte, headroom int, p *gso.Packet) error {
	if w.pkt == nil {
		return tun.ErrWouldBlock
	}
	*p = gso.Packet{Data: buf[headroom : headroom+copy(buf[headroom:], w.pkt)]}
	return nil
}

func (w *watched) Recv(_ []byte, in *netio.Received) error {
	if len(w.told) == 0 || w.left == 0 {
		w.told = nil
		return netio.ErrWouldBlock
	}
	w.left--
	w.took++
	*in = netio.Received{Kind: netio.ESP, Data: make([]byte, 40)}
	return nil
}

// newWatched is a worker between a watched queue and port, set up and without a thread.
func newWatched(t *testing.T, change func(*Config)) (*worker, *watched) {
	t.Helper()
	x := &watched{}
	for _, fd := range []*int{&x.queueFD, &x.portFD} {
		read, write, err := openWake()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeWake(read, write) })
		refill(t, write)
		*fd = read
	}
	g := newGateway(t, 1, func(c *Config) {
		c.Queues[0], c.Ports[0] = x, x
		if change != nil {
			change(c)
		}
	})
	w := g.workers[0]
	if err := w.setUp(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tearDown)
	return w, x
}

// round is one turn and what is between it and the next.
func round(t *testing.T, w *worker) {
	t.Helper()
	busy, err := w.cycle()
	if err == nil {
		err = w.pace(busy)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBusySidesKeepNobodyWaiting: however busy one side is, the other is served in the next turn.
func TestBusySidesKeepNobodyWaiting(t *testing.T) {
	w, x := newWatched(t, nil)
	x.pkt = udpPacket(src4, dst4, true, nil) // endless
	round(t, w)
	x.left = 10
	round(t, w)
	if x.took != 10 {
		t.Errorf("%d of 10 datagrams were received while the TUN was busy", x.took)
	}
	x.pkt, x.left = nil, 1<<30 // now the port is
	round(t, w)
	round(t, w)
	x.pkt = udpPacket(src4, dst4, true, nil)
	before := w.plane.Counters()["out_no_policy"]
	round(t, w)
	if w.plane.Counters()["out_no_policy"] == before {
		t.Error("nothing was read from the TUN while the port was busy")
	}
}

// TestSpin: the worker looks on for as long as it was told to before it sleeps, and what comes
// meanwhile ends that.
func TestSpin(t *testing.T) {
	var clock time.Time
	ticks := 0
	w, x := newWatched(t, func(c *Config) {
		c.Spin = 50 * time.Microsecond
		c.Now = func() time.Time { ticks++; clock = clock.Add(time.Microsecond); return clock }
	})
	for _, fd := range []int{x.queueFD, x.portFD} {
		drain(t, fd)
	}
	w.sleeper.wake() // so that the sleep after it ends
	if _, err := w.spin(); err != nil || ticks > 2 {
		t.Errorf("called while it spins: %d looks, %v", ticks, err)
	}
	ticks = 0
	if why, err := w.spin(); err != nil || why != nothing || ticks < 50 || ticks > 52 {
		t.Errorf("with nothing to do: %v after %d us, %v", why, ticks, err)
	}
	refill(t, x.portFD)
	ticks = 0
	if why, err := w.spin(); err != nil || why != readable || ticks > 2 {
		t.Errorf("with something to read: %v after %d us, %v", why, ticks, err)
	}
}

func drain(t *testing.T, fd int) {
	t.Helper()
	if _, err := unix.Read(fd, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
}

func refill(t *testing.T, fd int) {
	t.Helper()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
}
