package dataplane

import (
	"time"

	"culvert/dataplane/turnstile"
)

const (
	// backlogCycles is the number of cycles in a row in which a worker must have left something in
	// its port before others may steal from it: about a millisecond of work.
	backlogCycles = 2
	// stealBatches is the number of batches that a worker steals before it looks at its own port.
	stealBatches = 4
	// stealWorth is the number of batches that a woken worker should steal before nothing is left:
	// the wake-up costs as much as one or two. Where stealing is not worth it, as with traffic in
	// spurts, or where all cores are busy and the workers wait for each other, they are woken half
	// as often each time, between these bounds.
	stealWorth    = 16
	stealPause    = time.Millisecond
	maxStealPause = 512 * time.Millisecond
)

// backlog is what a worker knows of its port's backlog.
type backlog struct {
	cycles int           // in a row that left something
	asked  int64         // when it last woke another worker: its clock
	pause  time.Duration // until it may again
	stolen uint64        // batches that had been stolen by then
}

// caughtUp records that the port is dry.
func (r *rx) caughtUp() {
	r.backlog.cycles = 0
	if o := r.order; o.shared && o.behind.Load() {
		o.behind.Store(false)
	}
}

// fallBehind records that a cycle ended and the port may have more. Where that goes on, another
// worker is woken.
func (r *rx) fallBehind() {
	o, b := r.order, &r.backlog
	if b.cycles++; !o.shared || b.cycles < backlogCycles {
		return
	}
	if since := r.nowNano - b.asked; since >= 0 && since < int64(b.pause) {
		return
	}
	stolen := o.stolen.Load()
	if futile := o.noCore.Swap(false) || stolen-b.stolen < stealWorth; futile && b.pause != 0 {
		b.pause = min(2*b.pause, maxStealPause)
	} else {
		b.pause = stealPause
	}
	b.asked, b.stolen = r.nowNano, stolen
	o.behind.Store(true)
	r.wakeIdle()
}

// wakeIdle wakes another worker, if one sleeps. One that is awake steals when it has nothing to do.
func (r *rx) wakeIdle() {
	for _, w := range r.plane.workers {
		if w.index != r.index && w.idle.Load() {
			w.sleeper.wake()
			return
		}
	}
}

// waited records that a worker waited for a turn. A long wait ends the stealing: the worker whose
// turn it is has no core to run on.
func (o *rxOrder) waited(long bool) {
	if long {
		o.behind.Store(false)
		o.noCore.Store(true)
	}
}

// steal carries packets that came to a worker with a backlog.
func (r *rx) steal() progress {
	if !r.order.shared {
		return wasDry
	}
	workers := r.plane.workers
	for i := range workers {
		o := workers[(r.index+i)%len(workers)].rx.order
		if o != r.order && o.behind.Load() && r.stealFrom(o) {
			return leftMore
		}
	}
	return wasDry
}

// stealFrom carries a few batches of o. It reports whether there may be more.
func (r *rx) stealFrom(o *rxOrder) (busy bool) {
	for range stealBatches {
		_, err := r.carry(o)
		switch err {
		case nil:
			o.stolen.Add(1)
			r.tally.add(countStolen, 1)
			busy = true
		case errTaken:
			turnstile.Yield()
			return true
		default: // dry; or an error for the owner to see
			o.behind.Store(false)
			return busy
		}
	}
	return busy
}
