package dataplane

import (
	"sync/atomic"
	"time"
)

const (
	// backlogCycles is the number of cycles in a row in which a worker must have left something in
	// its port, or in its queue, before others may steal from it: a tenth of a millisecond of work,
	// which is twice what waking a worker takes.
	backlogCycles = 1
	// stealWorth is the number of batches that a woken worker should steal before nothing is left:
	// the wake-up costs as much as one or two. Where stealing is not worth it, as with traffic in
	// spurts, or where all cores are busy and the workers wait for each other, they are woken half
	// as often each time, between these bounds.
	stealWorth    = 16
	stealPause    = time.Millisecond
	maxStealPause = 512 * time.Millisecond
	// stealBatches is the number of batches that a worker steals before it looks at its own queue
	// and port.
	stealBatches = 4
)

// loot is what a worker with a backlog, in one direction, and those that steal from it tell each
// other.
type loot struct {
	behind atomic.Bool   // the owner has a backlog: others may steal
	stolen atomic.Uint64 // batches that other workers carried
	noCore atomic.Bool   // there is no core for another worker
}

// waitedLong records a long wait for another worker's batch, which ends the stealing: that worker
// has no core to run on.
func (l *loot) waitedLong() {
	l.behind.Store(false)
	l.noCore.Store(true)
}

// backlog is what a worker knows of its backlog in one direction.
type backlog struct {
	cycles int           // in a row that left something
	asked  int64         // when it last woke another worker: its clock
	pause  time.Duration // until it may again
	stolen uint64        // batches that had been stolen by then
}

// fallBehind records that a cycle ended and there may be more. Where that goes on, another worker
// is woken.
func (th *thread) fallBehind(b *backlog, l *loot) {
	if b.cycles++; b.cycles < backlogCycles {
		return
	}
	if since := th.nowNano - b.asked; since >= 0 && since < int64(b.pause) {
		return
	}
	stolen := l.stolen.Load()
	if futile := l.noCore.Swap(false) || stolen-b.stolen < stealWorth; futile && b.pause != 0 {
		b.pause = min(2*b.pause, maxStealPause)
	} else {
		b.pause = stealPause
	}
	b.asked, b.stolen = th.nowNano, stolen
	l.behind.Store(true)
	th.wakeIdle()
}

// wakeIdle wakes another worker, if one sleeps. One that is awake steals when it has nothing to do.
func (th *thread) wakeIdle() {
	for _, w := range th.plane.workers {
		if w.index != th.index && w.idle.Load() {
			w.sleeper.wake()
			return
		}
	}
}

// steal has a worker with nothing of its own to do carry packets that came to one with a backlog.
// Where it found enough, the next idle worker is woken: each looks for one more, so that all that
// are needed work soon.
func (w *worker) steal() progress {
	for i := range w.plane.workers {
		v := w.plane.workers[(w.index+i)%len(w.plane.workers)]
		if v == w {
			continue
		}
		if o := v.rx.order; o.shared && o.behind.Load() {
			if found := w.rx.stealFrom(o); found != wasDry {
				return w.stole(found, &o.loot)
			}
		}
		if o := v.tx.reads; o.shared && o.behind.Load() {
			if found := w.tx.stealFrom(o); found != wasDry {
				return w.stole(found, &o.loot)
			}
		}
	}
	return wasDry
}

// stole returns what is left to do after stealing.
func (w *worker) stole(found progress, l *loot) progress {
	if found == leftMore && l.behind.Load() {
		w.wakeIdle()
	}
	return leftMore
}
