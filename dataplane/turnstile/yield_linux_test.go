package turnstile

import (
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHolderOnTheSameCore: a holder whose thread shares the waiter's core can go on only when the
// waiter yields it. So the turn comes while the core is offered, and not while the waiter only
// looks.
func TestHolderOnTheSameCore(t *testing.T) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	const turns = 50
	var (
		ts    Turnstile
		asked atomic.Uint64
		done  = make(chan int)
	)
	onTheCore := func(do func()) {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Error(err)
		}
		do()
	}
	go onTheCore(func() {
		for ticket := uint64(1); ticket <= turns; ticket++ {
			for asked.Load() != ticket {
				Yield()
			}
			ts.Pass(ticket)
		}
	})
	go onTheCore(func() {
		came := 0
		for ticket := uint64(1); ticket <= turns; ticket++ {
			if asked.Store(ticket); ts.offer(ticket) {
				came++
			} else {
				ts.Wait(ticket)
			}
		}
		done <- came
	})
	if came := <-done; came < turns/2 {
		t.Errorf("%d of %d turns came while the core was yielded", came, turns)
	}
}
