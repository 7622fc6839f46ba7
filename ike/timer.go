package ike

import (
	"container/heap"
	"time"
)

// timer is one moment at which something is to be done. The zero value is stopped. Its owner embeds it, sets fire once, and moves it with
// timerHeap.set; the heap holds pointers, so that the owner must stop it before it goes.
type timer struct {
	at   time.Time
	fire func()
	seq  uint64 // of two timers of the same moment the one set first fires first, so that a run replays exactly
	pos  int    // 1 + index in the heap; 0: stopped
}

// timerHeap is all running timers of an engine, the next one first.
type timerHeap struct {
	list []*timer
	seq  uint64
}

// set starts the timer, or moves it if it runs.
func (h *timerHeap) set(t *timer, at time.Time) {
	h.seq++
	t.at, t.seq = at, h.seq
	if t.pos > 0 {
		heap.Fix(h, t.pos-1)
		return
	}
	heap.Push(h, t)
}

// stop stops the timer; a stopped one stays so.
func (h *timerHeap) stop(t *timer) {
	if t.pos > 0 {
		heap.Remove(h, t.pos-1)
	}
}

// next is the moment of the first timer; zero if none runs.
func (h *timerHeap) next() time.Time {
	if len(h.list) == 0 {
		return time.Time{}
	}
	return h.list[0].at
}

// maxFires bounds the timers of one call of fireDue: when those of very many IKE SAs are due at once, messages are handled in between.
const maxFires = 64

// fireDue fires, in order, what is due at now, or the first part of it: what is left is due still. A timer is stopped before it fires, and may be set again by
// what it does, but what is set to now or earlier meanwhile waits for the next call: no chain of timers can keep the engine from answering.
func (h *timerHeap) fireDue(now time.Time) {
	last := h.seq
	for n := 0; n < maxFires && len(h.list) > 0 && !h.list[0].at.After(now) && h.list[0].seq <= last; n++ {
		t := h.list[0]
		heap.Remove(h, 0)
		t.fire()
	}
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (h *timerHeap) Len() int { return len(h.list) }

func (h *timerHeap) Less(i, j int) bool {
	a, b := h.list[i], h.list[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	return a.seq < b.seq
}

func (h *timerHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].pos, h.list[j].pos = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	h.list = append(h.list, t)
	t.pos = len(h.list)
}

func (h *timerHeap) Pop() any {
	n := len(h.list) - 1
	t := h.list[n]
	h.list[n] = nil
	h.list = h.list[:n]
	t.pos = 0
	return t
}
