package dataplane

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// Room around a packet that was read from the TUN: in front for the device's own header (virtio-net; the ESP header is written in the send buffer, not here), behind for the
// ESP trailer.
const (
	tunHeadroom = 16
	tunTailroom = 64
	maxDatagram = 65535

	// batch is how much one direction may do before it is the other's turn: reads, and octets of super-packets.
	cyclePackets = 64
	cycleBytes   = 512 << 10

	// futileTurns is how often in a row a worker may be woken by a descriptor that gives nothing (an error that reading does not clear, a device that is
	// down) before it pauses between looks, so that it never spins. The pause is short, as anyone can wake a worker for nothing: a datagram whose UDP checksum is wrong
	// does.
	futileCycles = 8
	futilePause  = time.Millisecond
)

// worker is one locked OS thread with the queue and the port that are its own. Everything in it belongs to that thread, save what is atomic or has a lock.
type worker struct {
	plane     *Plane
	index     int // its place among the workers
	queue     tun.Queue
	readAhead *readAhead // around a queue without a descriptor
	port      netio.Port
	sleeper   sleeper
	mail      mailbox
	stopping  atomic.Bool
	tally     tally
	shared    bool // other workers may send on the same SAs

	now     time.Time // the coarse clock: of this turn of the loop
	nowNano int64

	read    tun.Packet // as read from the queue
	recv    netio.Received
	write   tun.Packet
	pieces  [1][]byte
	tunBuf  []byte
	recvBuf []byte
	fragBuf []byte
	icmpBuf []byte

	in       rxBatch
	inner    selector.Packet // of deliver alone: one on its stack would be zeroed for each packet
	rxOrder  *rxOrder        // of what comes to the port
	backlog  backlog
	idle     atomic.Bool // asleep, and nothing is wrong
	txQueue  txQueue
	scratch  esp.Scratch
	segments tun.Segmenter
	refuser  tun.Refuser // nil: the queue learns nothing about its offloads
	gather   coalescer   // of what the receive in hand brought
	batch    txBatch

	ticket ticket
	late   lateQueue
	held   [maxHeld]held
	holds  int

	icmpSecond int64
	icmpLeft   int

	tunReady bool // the queue may have something
	more     bool // the turn ended before both sides were dry
	reported bool // something can be read, it was said
	futile   int  // how often in a row there was nothing
}

func newWorker(p *Plane, index int) *worker {
	w := &worker{
		plane:   p,
		index:   index,
		queue:   p.cfg.Queues[index],
		port:    p.cfg.Ports[index],
		shared:  len(p.cfg.Queues) > 1,
		tunBuf:  make([]byte, txBatchSpace+tunHeadroom+tun.MaxPacket+tunTailroom),
		recvBuf: make([]byte, maxDatagram+tunTailroom),
		txQueue: txQueue{buf: make([]byte, flushBytes+runSpace)},
		fragBuf: make([]byte, 0, maxDatagram+tunTailroom),
		icmpBuf: make([]byte, 0, icmpQuote6),
	}
	w.mail.wake = w.sleeper.wake
	w.gather.can, w.gather.out = p.cfg.Offloads, w.writeTUN
	w.refuser, _ = w.queue.(tun.Refuser)
	return w
}

// setUp makes what run needs.
func (w *worker) setUp() error {
	fds := w.port.FDs()
	fd := w.queue.FD()
	if fd >= 0 {
		fds = append([]int{fd}, fds...)
	}
	if err := w.sleeper.open(fds, w.ready); err != nil {
		return err
	}
	w.tunReady = true
	if fd < 0 {
		w.readAhead = newReadAhead(w.queue, w.sleeper.wake)
		w.queue = w.readAhead
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

// ready notes that descriptor i of those that setUp gave to the sleeper can be read.
func (w *worker) ready(i int) {
	if w.readAhead == nil {
		i-- // the first is the queue's
	}
	if i < 0 {
		w.tunReady = true
		return
	}
	w.port.Ready(i)
}

// run is the loop: both directions in turn, a batch of each, and sleep when both are dry. It returns why it cannot go on, or nil after stop.
func (w *worker) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
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

// turnAround is one turn of the loop. It reads only what is ready: a look in vain at each descriptor would cost more than one that asks for all. A panic over a packet
// loses that packet and no more.
func (w *worker) cycle() (busy bool, err error) {
	defer w.recoverPacket()
	w.now = w.plane.cfg.Now()
	w.nowNano = w.now.UnixNano()
	w.more = false
	if len(w.late.tickets) > 0 {
		w.sendLate()
	}
	if w.mail.full.Load() {
		w.openMail()
	}
	out := false
	if w.tunReady {
		out, err = w.drainTUN()
	}
	w.sealBatch()
	w.flush()
	if err != nil {
		return false, err
	}
	in, err := w.drainPort()
	if !out && !in && err == nil {
		in = w.steal()
	}
	return out || in, err
}

// recoverPacket keeps the process alive after a bug, and other workers from waiting for a turn that would never be passed on.
func (w *worker) recoverPacket() {
	r := recover()
	if r == nil {
		return
	}
	w.tally.add(countPanic, 1)
	w.plane.cfg.Log.Error("panic over a packet", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	w.late.discard()
	w.giveUpTicket()
	w.batch.pair, w.batch.n, w.batch.octets, w.batch.broken = nil, 0, 0, false
	w.gather.discard() // which may be what the bug is in
	w.in.n, w.in.used = 0, 0
	w.in.giveUp()
	w.flush()
	clear(w.txQueue.from[:]) // of the SAs that were in hand nothing is kept
	clear(w.in.runs[:])
}

// pace is between two turns: it finds out what can be read, and waits if there is nothing. Mail that was put and a stop that was called before it end the wait at once.
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

// spin looks on for a while: to be woken takes longer than what is about to come often does.
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
	if !w.awaitLate() {
		return nothing, nil
	}
	w.idle.Store(true)
	defer w.idle.Store(false)
	return w.sleeper.sleep()
}
