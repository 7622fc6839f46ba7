package dataplane

import "time"

const (
	// helpAfter is how many turns in a row a worker must have left something in its port before it wants help: about a millisecond of work.
	backlogCycles = 2
	// helpTurn is how many batches a helper takes before it looks at what is its own.
	stealBatches = 4
	// helpWorth is how many batches a helper should take before it finds nothing left: to be woken costs as much as one or two. Where help is in vain, as with traffic in
	// spurts, or where the cores all have enough to do and those that help each other wait for each other, it is called for half as often each time, between these bounds.
	stealWorth    = 16
	stealPause    = time.Millisecond
	maxStealPause = 512 * time.Millisecond
)

// strain is what a worker knows of its own need for help.
type backlog struct {
	cycles int           // in a row that left something
	asked  int64         // when it last called for help: its clock
	pause  time.Duration // until it may again
	stolen uint64        // batches that it had been helped with then
}

// caughtUp notes that the port is dry.
func (w *worker) caughtUp() {
	w.backlog.cycles = 0
	if l := w.rxOrder; l.shared && l.behind.Load() {
		l.behind.Store(false)
	}
}

// fallBehind notes that a turn ended and the port may have more. Where that goes on, help is called for.
func (w *worker) fallBehind() {
	l, s := w.rxOrder, &w.backlog
	if s.cycles++; !l.shared || s.cycles < backlogCycles {
		return
	}
	if since := w.nowNano - s.asked; since >= 0 && since < int64(s.pause) {
		return
	}
	stolen := l.stolen.Load()
	if futile := l.noCore.Swap(false) || stolen-s.stolen < stealWorth; futile && s.pause != 0 {
		s.pause = min(2*s.pause, maxStealPause)
	} else {
		s.pause = stealPause
	}
	s.asked, s.stolen = w.nowNano, stolen
	l.behind.Store(true)
	w.wakeIdle()
}

// wakeHelper wakes another worker, if one sleeps. One that is awake comes by itself when it has nothing to do.
func (w *worker) wakeIdle() {
	for _, o := range w.plane.workers {
		if o != w && o.idle.Load() {
			o.sleeper.wake()
			return
		}
	}
}

// waited notes that somebody waited for a turn. A long wait ends the help: who holds the turn has no core to run on.
func (l *rxOrder) waited(long bool) {
	if long {
		l.behind.Store(false)
		l.noCore.Store(true)
	}
}

// help takes part in what comes to a worker that wants it. false: there is none, or nothing was left. Whoever finds nothing left goes back to sleep.
func (w *worker) steal() bool {
	if !w.rxOrder.shared {
		return false
	}
	for i := range w.plane.workers {
		o := w.plane.workers[(w.index+i)%len(w.plane.workers)]
		if o != w && o.rxOrder.behind.Load() && w.stealFrom(o.rxOrder) {
			w.more = true
			return true
		}
	}
	return false
}

// helpWith carries a few batches of l.
func (w *worker) stealFrom(l *rxOrder) (busy bool) {
	for range stealBatches {
		_, err := w.carryIn(l)
		switch err {
		case nil:
			l.stolen.Add(1)
			w.tally.add(countStolen, 1)
			busy = true
		case errTaken:
			yield()
			return true
		default: // dry; or for the owner to see
			l.behind.Store(false)
			return busy
		}
	}
	return busy
}
