package turnstile

import (
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestOrder: threads that take their turns in parallel go through one by one, in the order of their
// tickets, and each sees what those before it did.
func TestOrder(t *testing.T) {
	const threads, turns = 3, 60
	var (
		ts    Turnstile
		order []uint64 // only whoever is through writes it
		wg    sync.WaitGroup
	)
	for i := range threads {
		wg.Go(func() {
			for ticket := uint64(i); ticket < turns; ticket += threads {
				if ticket%3 != 0 || !ts.Spin(ticket) {
					ts.Wait(ticket)
				}
				order = append(order, ticket)
				ts.Pass(ticket + 1)
			}
		})
	}
	wg.Wait()
	for i, ticket := range order {
		if ticket != uint64(i) {
			t.Fatalf("ticket %d went through in place of %d", ticket, i)
		}
	}
	if len(order) != turns || !ts.Reached(turns) {
		t.Errorf("%d turns of %d", len(order), turns)
	}
}

// TestBriefWait: a wait for a turn that does not come ends.
func TestBriefWait(t *testing.T) {
	var ts Turnstile
	if ts.Pass(7); ts.offer(8) {
		t.Error("turn 8 is not reached")
	}
	if ts.Spin(8) || !ts.Spin(7) || !ts.offer(7) {
		t.Error("spin and offer see another turn")
	}
}

// TestLongWait: a wait for a turn that comes late is long; one for a turn that has come is not.
func TestLongWait(t *testing.T) {
	var ts Turnstile
	if ts.Wait(0) {
		t.Error("a wait for a turn that had come was long")
	}
	for ticket := uint64(1); ticket < 100; ticket++ { // where this thread had no core, the turn came before the wait
		began := time.Now()
		go func() {
			for time.Since(began) < 4*LongWait {
				runtime.Gosched()
			}
			ts.Pass(ticket)
		}()
		if ts.Wait(ticket) {
			return
		}
	}
	t.Errorf("no wait of more than %v was long", LongWait)
}

// TestAwaited: whoever passes a turn on learns once that a sleeper waits.
func TestAwaited(t *testing.T) {
	var ts Turnstile
	if ts.Awaited() {
		t.Error("awaited before anybody waits")
	}
	ts.Await()
	if ts.Pass(1); !ts.Awaited() || ts.Awaited() {
		t.Error("the sleeper is to be woken, once")
	}
}

// TestCacheLine: what waiters look at shares its cache line with nothing else, wherever the
// turnstile begins, and a turnstile takes two lines.
func TestCacheLine(t *testing.T) {
	const line = 64
	ts := reflect.TypeFor[Turnstile]()
	offset := func(name string) uintptr {
		f, _ := ts.FieldByName(name)
		return f.Offset
	}
	size, next, awaited := ts.Size(), offset("next"), offset("awaited")
	if next < line || size-next < line || awaited-next >= line || size != 2*line {
		t.Errorf("%d octets, next at %d, awaited at %d", size, next, awaited)
	}
}
