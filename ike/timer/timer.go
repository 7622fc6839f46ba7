// Package timer holds the timers of an engine that is told the time, and the random pauses that
// they wait for. It reads no clock.
package timer

import (
	"container/heap"
	"time"
)

// A Timer calls Fire at a moment. The zero value is stopped. Its owner embeds it, sets Fire once,
// and starts it with Heap.Set. The heap keeps a pointer, so the owner must stop it before it goes
// away.
type Timer struct {
	Fire func()
	at   time.Time
	seq  uint64 // of two timers for the same moment the one set first fires first, so that a run replays exactly
	pos  int    // 1 + index in the heap; 0: stopped
}

// Running reports whether the timer is started and has not fired.
func (t *Timer) Running() bool { return t.pos > 0 }

// At returns when the timer fires; zero: it is stopped.
func (t *Timer) At() time.Time {
	if !t.Running() {
		return time.Time{}
	}
	return t.at
}

// Presses reports whether, of the time from begun until the timer fires, more than three quarters
// are over at a moment. Of a timer that is stopped they never are.
func (t *Timer) Presses(begun, at time.Time) bool {
	return t.Running() && at.Sub(begun) > t.at.Sub(begun)*3/4
}

// A Heap holds the running timers of an engine. The zero value is empty.
type Heap struct {
	queue queue
	seq   uint64
}

// Set starts the timer, or moves it if it runs.
func (h *Heap) Set(t *Timer, at time.Time) {
	h.seq++
	t.at, t.seq = at, h.seq
	if t.pos > 0 {
		heap.Fix(&h.queue, t.pos-1)
		return
	}
	heap.Push(&h.queue, t)
}

// Hasten has a running timer fire at the given moment, unless it does so earlier.
func (h *Heap) Hasten(t *Timer, at time.Time) {
	if t.Running() && t.at.After(at) {
		h.Set(t, at)
	}
}

// Stop stops the timer, if it runs.
func (h *Heap) Stop(t *Timer) {
	if t.pos > 0 {
		heap.Remove(&h.queue, t.pos-1)
	}
}

// Len returns the number of running timers.
func (h *Heap) Len() int { return len(h.queue) }

// Next returns the moment of the first timer; zero if none runs.
func (h *Heap) Next() time.Time {
	if len(h.queue) == 0 {
		return time.Time{}
	}
	return h.queue[0].at
}

// maxFires bounds the timers of one FireDue, so that messages are handled in between when many are
// due at once.
const maxFires = 64

// FireDue fires timers that are due at now, in order, at most maxFires of them; the others remain
// due. A timer is stopped before it fires, and may set itself again. A timer that is set to now or
// earlier meanwhile waits for the next call, so a chain of timers cannot keep the engine from
// answering.
func (h *Heap) FireDue(now time.Time) {
	last := h.seq
	for n := 0; n < maxFires && len(h.queue) > 0 && !h.queue[0].at.After(now) && h.queue[0].seq <= last; n++ {
		t := h.queue[0]
		heap.Remove(&h.queue, 0)
		t.Fire()
	}
}

// queue is the order of the timers. It implements heap.Interface.
type queue []*Timer

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	return a.seq < b.seq
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i+1, j+1
}

func (q *queue) Push(x any) {
	t := x.(*Timer)
	*q = append(*q, t)
	t.pos = len(*q)
}

func (q *queue) Pop() any {
	list := *q
	n := len(list) - 1
	t := list[n]
	list[n] = nil
	*q = list[:n]
	t.pos = 0
	return t
}
