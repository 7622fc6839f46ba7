package timer

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000_000, 0)

// BenchmarkTimers moves one of many timers, asks for the deadline, and fires the first one, which
// sets itself again.
func BenchmarkTimers(b *testing.B) {
	for _, n := range []int{10, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const perSA = 4
			var h Heap
			timers := make([]Timer, perSA*n)
			r := rand.New(rand.NewPCG(1, 1))
			now := epoch
			for i := range timers {
				timers[i].Fire = func() { h.Set(&timers[i], now.Add(time.Duration(1+r.Int64N(int64(time.Hour))))) }
				timers[i].Fire()
			}
			b.ReportAllocs()
			for b.Loop() {
				timers[r.IntN(len(timers))].Fire()
				now = h.Next()
				h.FireDue(now)
			}
		})
	}
}

// heapOf returns a heap and n timers that record, when they fire, their number in the list.
func heapOf(n int) (h *Heap, timers []Timer, fired *[]int) {
	h, timers, fired = &Heap{}, make([]Timer, n), new([]int)
	for i := range timers {
		timers[i].Fire = func() { *fired = append(*fired, i) }
	}
	return h, timers, fired
}

func TestTimersFireInOrder(t *testing.T) {
	h, timers, fired := heapOf(5)
	for i, ms := range []int{30, 10, 20, 10, 40} {
		h.Set(&timers[i], epoch.Add(time.Duration(ms)*time.Millisecond))
	}
	h.Set(&timers[4], epoch.Add(10*time.Millisecond)) // moved: the last of those that are due first
	h.Stop(&timers[2])
	h.Stop(&timers[2])
	if h.Len() != 4 || !h.Next().Equal(epoch.Add(10*time.Millisecond)) {
		t.Errorf("%d timers run, the first at %v", h.Len(), h.Next())
	}
	h.FireDue(epoch.Add(9 * time.Millisecond))
	if len(*fired) != 0 {
		t.Fatalf("%v fired early", *fired)
	}
	h.FireDue(epoch.Add(10 * time.Millisecond))
	if !slices.Equal(*fired, []int{1, 3, 4}) || !timers[0].Running() || timers[1].Running() || timers[2].Running() {
		t.Fatalf("fired %v; the first still runs: %v", *fired, timers[0].Running())
	}
	h.FireDue(epoch.Add(time.Hour))
	if !slices.Equal(*fired, []int{1, 3, 4, 0}) || h.Len() != 0 || !h.Next().IsZero() {
		t.Errorf("fired %v, %d still run, the next at %v", *fired, h.Len(), h.Next())
	}
}

// Many timers in any order fire in the order of their moments, whatever is moved and stopped.
func TestTimersAgreeWithAList(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	h, timers, fired := heapOf(60)
	at := map[int]int64{}
	for range 2000 {
		i := r.IntN(len(timers))
		if r.IntN(4) == 0 {
			h.Stop(&timers[i])
			delete(at, i)
			continue
		}
		at[i] = r.Int64N(1 << 40)
		h.Set(&timers[i], epoch.Add(time.Duration(at[i])))
	}
	n := len(at)
	h.FireDue(epoch.Add(1 << 40))
	if len(*fired) != n || !slices.IsSortedFunc(*fired, func(a, b int) int { return cmp.Compare(at[a], at[b]) }) {
		t.Errorf("%d of %d timers fired: %v", len(*fired), n, *fired)
	}
}

// Very many timers that are due at once do not keep the engine from what comes in between.
func TestTimersFireInParts(t *testing.T) {
	h, timers, fired := heapOf(10 * maxFires)
	for i := range timers {
		h.Set(&timers[i], epoch.Add(time.Duration(i)))
	}
	now := epoch.Add(time.Second)
	for calls := 1; len(*fired) < len(timers); calls++ {
		h.FireDue(now)
		if len(*fired) != calls*maxFires {
			t.Fatalf("%d fired after %d calls", len(*fired), calls)
		}
		if at := h.Next(); len(*fired) < len(timers) && at.After(now) {
			t.Fatalf("the next Wake is at %v, with timers due", at)
		}
	}
	if !slices.IsSorted(*fired) {
		t.Error("they fired out of order")
	}
}

// A timer that sets itself to now waits for the next call.
func TestTimerThatSetsItself(t *testing.T) {
	var h Heap
	var timer Timer
	fired := 0
	timer.Fire = func() {
		fired++
		h.Set(&timer, epoch)
	}
	h.Set(&timer, epoch)
	for calls := 1; calls <= 3; calls++ {
		if h.FireDue(epoch); fired != calls || !timer.Running() {
			t.Fatalf("fired %d times in %d calls", fired, calls)
		}
	}
}

// TestPresses: three quarters of the time until a timer fires are over, or not yet.
func TestPresses(t *testing.T) {
	var h Heap
	var tm Timer
	begun := time.Unix(1000, 0)
	if tm.Presses(begun, begun.Add(time.Hour)) {
		t.Error("a timer that is stopped presses")
	}
	h.Set(&tm, begun.Add(40*time.Second))
	for after, want := range map[time.Duration]bool{-time.Second: false, 0: false, 30 * time.Second: false, 31 * time.Second: true, time.Minute: true} {
		if got := tm.Presses(begun, begun.Add(after)); got != want {
			t.Errorf("after %v of 40 s: %t, want %t", after, got, want)
		}
	}
}

// TestHasten: a running timer fires earlier, never later, and one that is stopped stays so.
func TestHasten(t *testing.T) {
	var h Heap
	fired := 0
	now := time.Unix(1000, 0)
	tm := Timer{Fire: func() { fired++ }}
	h.Hasten(&tm, now)
	if tm.Running() {
		t.Error("a stopped timer was started")
	}
	h.Set(&tm, now.Add(5*time.Second))
	h.Hasten(&tm, now.Add(7*time.Second))
	if at := h.Next(); at != now.Add(5*time.Second) {
		t.Errorf("it fires at %v", at)
	}
	h.Hasten(&tm, now.Add(time.Second))
	if h.FireDue(now.Add(time.Second)); fired != 1 {
		t.Errorf("it fired %d times", fired)
	}
}
