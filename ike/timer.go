package ike

import (
	"container/heap"
	"time"
)

// timer calls fire at a moment. The zero value is stopped. Its owner embeds it, sets fire once, and
// starts it with timerHeap.set. The heap keeps a pointer, so the owner must stop it before it goes
// away.
type timer struct {
	at   time.Time
	fire func()
	seq  uint64 // of two timers for the same moment the one set first fires first, so that a run replays exactly
	pos  int    // 1 + index in the heap; 0: stopped
}

// timerHeap holds the running timers of an engine.
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

// stop stops the timer, if it runs.
func (h *timerHeap) stop(t *timer) {
	if t.pos > 0 {
		heap.Remove(h, t.pos-1)
	}
}

// next returns the moment of the first timer; zero if none runs.
func (h *timerHeap) next() time.Time {
	if len(h.list) == 0 {
		return time.Time{}
	}
	return h.list[0].at
}

// maxFires bounds the timers of one fireDue, so that messages are handled in between when many are
// due at once.
const maxFires = 64

// fireDue fires timers that are due at now, in order, at most maxFires of them; the others remain
// due. A timer is stopped before it fires, and may set itself again. A timer that is set to now or
// earlier meanwhile waits for the next call, so a chain of timers cannot keep the engine from
// answering.
func (h *timerHeap) fireDue(now time.Time) {
	last := h.seq
	for n := 0; n < maxFires && len(h.list) > 0 && !h.list[0].at.After(now) && h.list[0].seq <= last; n++ {
		t := h.list[0]
		heap.Remove(h, 0)
		t.fire()
	}
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
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
