package dataplane

import (
	"testing"
	"time"
)

// TestHelpIsCalledForAtIntervals: a worker that falls behind calls for help in that cycle, and then
// after pauses that grow while little is stolen, or for want of a core.
func TestHelpIsCalledForAtIntervals(t *testing.T) {
	g := newGateway(t, 2, nil)
	th, b, l := &g.workers[0].thread, &backlog{}, &loot{}
	// asks returns how long it takes until help is called for again.
	asks := func() time.Duration {
		l.behind.Store(false)
		for begun := th.nowNano; ; th.nowNano += int64(100 * time.Microsecond) {
			if th.fallBehind(b, l); l.behind.Load() {
				return time.Duration(th.nowNano - begun)
			}
		}
	}
	if d := asks(); d != 0 || b.cycles != backlogCycles {
		t.Errorf("asked first after %v and %d cycles", d, b.cycles)
	}
	for i, tt := range []struct {
		stolen uint64 // since the last call
		noCore bool
		pause  time.Duration // after this call
	}{
		{stolen: stealWorth, pause: stealPause},
		{stolen: stealWorth - 1, pause: 2 * stealPause},
		{stolen: 0, pause: 4 * stealPause},
		{stolen: stealWorth, noCore: true, pause: 8 * stealPause},
		{stolen: stealWorth, pause: stealPause},
	} {
		before := b.pause
		l.stolen.Add(tt.stolen)
		if tt.noCore {
			l.waitedLong()
		}
		if d := asks(); d != before {
			t.Errorf("call %d came after %v, want %v", i, d, before)
		}
		if b.pause != tt.pause {
			t.Errorf("after call %d the pause is %v, want %v", i, b.pause, tt.pause)
		}
	}
	for range 20 {
		asks()
	}
	if b.pause != maxStealPause {
		t.Errorf("the pause is %v at last", b.pause)
	}
}

// TestThiefWakesTheNext: a worker that found as much as it may steal at once wakes another one that
// sleeps, and none if it found less.
func TestThiefWakesTheNext(t *testing.T) {
	r := newStealRig(t)
	woken := r.sleeping(t, 2)
	for n, want := range map[int]bool{stealBatches - 1: false, stealBatches + 1: true} {
		r.workers[sender].tx.reads.behind.Store(true)
		list, _ := flow(0, 3*n) // the small ones are two batches for each super-packet
		for _, p := range list {
			if p.GSO != 0 {
				r.queues[sender].in.put(nil, p)
			}
		}
		if found := r.workers[1].steal(); found != leftMore {
			t.Errorf("%d batches: %d is left", n, found)
		}
		if got := woken(); got != want {
			t.Errorf("%d batches: the next was woken: %v", n, got)
		}
		for r.queues[sender].in.len() > 0 || !r.workers[sender].tx.reads.idle() {
			r.drains(t, sender)
		}
	}
}
