package dataplane

import "time"

const (
	// helpAfter is how many turns in a row a worker must have left something in its port before it wants help: about a millisecond of work.
	helpAfter = 2
	// helpTurn is how many batches a helper takes before it looks at what is its own.
	helpTurn = 4
	// helpWorth is how many batches a helper should take before it finds nothing left: to be woken costs as much as one or two. Where help is in vain, as with traffic in
	// spurts, or where the cores all have enough to do and those that help each other wait for each other, it is called for half as often each time, between these bounds.
	helpWorth = 16
	helpPause = time.Millisecond
	maxPause  = 512 * time.Millisecond
)

// strain is what a worker knows of its own need for help.
type strain struct {
	turns  int           // in a row that left something
	called int64         // when it last called for help: its clock
	pause  time.Duration // until it may again
	before uint64        // batches that it had been helped with then
}

// caughtUp notes that the port is dry.
func (w *worker) caughtUp() {
	w.strain.turns = 0
	if l := w.lane; l.shared && l.wanted.Load() {
		l.wanted.Store(false)
	}
}

// fallBehind notes that a turn ended and the port may have more. Where that goes on, help is called for.
func (w *worker) fallBehind() {
	l, s := w.lane, &w.strain
	if s.turns++; !l.shared || s.turns < helpAfter {
		return
	}
	if since := w.nowNano - s.called; since >= 0 && since < int64(s.pause) {
		return
	}
	helped := l.helped.Load()
	if vain := l.starved.Swap(false) || helped-s.before < helpWorth; vain && s.pause != 0 {
		s.pause = min(2*s.pause, maxPause)
	} else {
		s.pause = helpPause
	}
	s.called, s.before = w.nowNano, helped
	l.wanted.Store(true)
	w.wakeHelper()
}

// wakeHelper wakes another worker, if one sleeps. One that is awake comes by itself when it has nothing to do.
func (w *worker) wakeHelper() {
	for _, o := range w.plane.workers {
		if o != w && o.idle.Load() {
			o.sleeper.wake()
			return
		}
	}
}

// waited notes that somebody waited for a turn. A long wait ends the help: who holds the turn has no core to run on.
func (l *lane) waited(long bool) {
	if long {
		l.wanted.Store(false)
		l.starved.Store(true)
	}
}

// help takes part in what comes to a worker that wants it. false: there is none, or nothing was left. Whoever finds nothing left goes back to sleep.
func (w *worker) help() bool {
	if !w.lane.shared {
		return false
	}
	for i := range w.plane.workers {
		o := w.plane.workers[(w.index+i)%len(w.plane.workers)]
		if o != w && o.lane.wanted.Load() && w.helpWith(o.lane) {
			w.more = true
			return true
		}
	}
	return false
}

// helpWith carries a few batches of l.
func (w *worker) helpWith(l *lane) (busy bool) {
	for range helpTurn {
		_, err := w.carryIn(l)
		switch err {
		case nil:
			l.helped.Add(1)
			w.tally.add(countHelped, 1)
			busy = true
		case errTaken:
			yield()
			return true
		default: // dry; or for the owner to see
			l.wanted.Store(false)
			return busy
		}
	}
	return busy
}
