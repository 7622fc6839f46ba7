package dataplane

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// Space around a packet that is read from the TUN: in front for the device's own header
	// (virtio-net; the ESP header is written in the transmit queue, not here), behind for the ESP
	// trailer.
	tunHeadroom = 16
	tunTailroom = 64
	maxDatagram = 65535

	// The budget of one direction in a cycle: reads, and octets of super-packets.
	cyclePackets = 64
	cycleBytes   = 512 << 10

	// futileCycles is the number of times in a row that a descriptor may be reported readable and
	// give nothing (an error that reading does not clear, a device that is down) before the worker
	// pauses between looks, so that it never spins. The pause is short, as anyone can cause such a
	// report: a datagram whose UDP checksum is wrong does.
	futileCycles = 8
	futilePause  = time.Millisecond
)

// worker is one locked OS thread with a TUN queue and a port of its own, and the loop around both
// directions. What is in it belongs to that thread, except for what is atomic or has a lock.
type worker struct {
	thread
	readAhead *readAhead // around a queue without a descriptor
	sleeper   sleeper
	idle      atomic.Bool // asleep, and nothing is wrong
	tx        tx
	rx        rx

	more     bool // the cycle ended before both directions were dry
	reported bool // a descriptor was reported readable
	futile   int  // cycles in a row in which that was not so
}

// thread is what the two directions of a worker share.
type thread struct {
	plane    *Plane
	index    int // its place among the workers
	stopping atomic.Bool
	now      time.Time // the coarse clock: of this cycle
	nowNano  int64
	mail     mailbox
	tally    tally
	sighted  [numReasons]int64 // when a packet was last recorded (sight); UnixNano
}

// progress is what one direction did in a cycle.
type progress uint8

const (
	wasDry   progress = iota // there was nothing
	hasRun                   // there was something, and then nothing
	leftMore                 // there may be more
)

// ranDry returns the progress of a direction that had n reads and then nothing.
func ranDry(n int) progress {
	if n > 0 {
		return hasRun
	}
	return wasDry
}

func newWorker(p *Plane, index int) *worker {
	w := &worker{thread: thread{plane: p, index: index}}
	queue, port := p.cfg.Queues[index], p.cfg.Ports[index]
	w.mail.wake = w.sleeper.wake
	w.tx.open(&w.thread, queue, port, len(p.cfg.Queues) > 1)
	w.rx.open(&w.thread, queue, port)
	return w
}

// setUp makes what run needs.
func (w *worker) setUp() error {
	fds := w.rx.port.FDs()
	fd := w.tx.queue.FD()
	if fd >= 0 {
		fds = append([]int{fd}, fds...)
	}
	if err := w.sleeper.open(fds, w.ready); err != nil {
		return err
	}
	w.tx.ready = true
	if fd < 0 {
		w.readAhead = newReadAhead(w.tx.queue, w.sleeper.wake)
		w.tx.queue, w.tx.silent = w.readAhead, true
	}
	return nil
}

// tearDown frees what setUp made. run has ended.
func (w *worker) tearDown() {
	if w.readAhead != nil {
		w.readAhead.stop()
	}
	w.sleeper.close()
}

// stop makes run end soon. Any goroutine.
func (w *worker) stop() {
	w.stopping.Store(true)
	w.sleeper.wake()
}

// ready records that descriptor i of those that setUp gave to the sleeper can be read.
func (w *worker) ready(i int) {
	if w.readAhead == nil {
		i-- // the first is the queue's
	}
	if i < 0 {
		w.tx.ready = true
		return
	}
	w.rx.port.Ready(i)
}

// run is the loop: a batch of each direction, and sleep when both are dry. It returns why it cannot
// go on, or nil after stop.
func (w *worker) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.rx.finish()
	for !w.stopping.Load() {
		busy, err := w.cycle()
		if err == nil {
			err = w.pace(busy)
		}
		if err != nil && !w.stopping.Load() {
			return err
		}
	}
	return nil
}

// cycle is one cycle of the loop. It reads only what is ready: to try each descriptor would cost
// more than one look at all. A panic over a packet loses that packet and no more.
func (w *worker) cycle() (busy bool, err error) {
	defer w.recoverPacket()
	w.now = w.plane.cfg.Now()
	w.nowNano = w.now.UnixNano()
	w.more = false
	if len(w.tx.moves) > 0 {
		w.tx.watchMoves(w.nowNano)
	}
	if len(w.tx.out.order.late.tickets) > 0 {
		w.tx.out.sendLate()
	}
	if w.mail.full.Load() && w.tx.reads.idle() && w.rx.batch.stage == finished {
		w.openMail()
	}
	out := wasDry
	if w.tx.ready {
		out, err = w.tx.drain()
	} else {
		out = ranDry(w.tx.sendReady())
	}
	w.tx.sealBatch()
	w.tx.out.flush()
	if err != nil {
		return false, err
	}
	if len(w.tx.moves) > 0 {
		w.tx.watchMoves(w.plane.cfg.Now().UnixNano())
	}
	in, err := w.rx.drain()
	if out == wasDry && in == wasDry && err == nil {
		in = w.steal()
	}
	w.more = out == leftMore || in == leftMore
	return out != wasDry || in != wasDry, err
}

// recoverPacket keeps the process alive after a bug, and other workers from waiting for a turn that
// would never be passed on.
func (w *worker) recoverPacket() {
	r := recover()
	if r == nil {
		return
	}
	w.tally.add(countPanic, 1)
	w.plane.cfg.Log.Error("panic over a packet", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	w.tx.discard()
	w.rx.discard()
}

// pace runs between two cycles: it finds out what can be read, and waits if there is nothing. Mail
// that was put and a stop that was called before it end the wait at once.
func (w *worker) pace(busy bool) error {
	if w.reported && !busy {
		w.futile++
	} else {
		w.futile = 0
	}
	w.reported = false
	if w.futile >= futileCycles {
		w.futile = 0
		return w.sleeper.pause(futilePause)
	}
	why, err := w.sleeper.look()
	if why == nothing && err == nil && !w.more {
		if why, err = w.spin(); why == nothing && err == nil {
			why, err = w.sleep()
		}
	}
	w.reported = why == readable
	return err
}

// spin looks on for a while: a wake-up takes longer than the next packet often does.
func (w *worker) spin() (why awakening, err error) {
	spin := w.plane.cfg.Spin
	if spin <= 0 || w.readAhead != nil {
		return nothing, nil
	}
	for begun := w.plane.cfg.Now(); why == nothing && err == nil && w.plane.cfg.Now().Sub(begun) < spin; {
		why, err = w.sleeper.look()
	}
	return why, err
}

// sleep waits for something to do.
func (w *worker) sleep() (awakening, error) {
	if w.readAhead != nil {
		defer w.readAhead.awake()
		if !w.readAhead.mayWait() {
			return nothing, nil
		}
	}
	if !w.tx.out.order.awaitLate() {
		return nothing, nil
	}
	w.idle.Store(true)
	defer w.idle.Store(false)
	if w.tx.reads.next().ready.Load() { // a thief that has sealed it after this look wakes us
		return nothing, nil
	}
	return w.sleeper.sleep()
}
