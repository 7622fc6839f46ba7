package driver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
)

// compute has the engine ask for a computation for each datagram. It waits for gate and returns the
// datagram's text.
func (r *rig) compute(gate <-chan struct{}) {
	id := uint64(0)
	r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
		switch in := in.(type) {
		case ike.Datagram:
			id++
			text := string(in.Data[28:])
			fx.List = append(fx.List, ike.Compute{ID: id, Run: func() any {
				r.journal.add("run %s", text)
				<-gate
				if text == "panic" {
					panic("bad point")
				}
				return text
			}})
		case ike.Shutdown:
			fx.List = append(fx.List, ike.Stopped{})
		}
	}
}

// The driver handles other datagrams during slow computations. Strangers share two workers, and
// jobs of established tunnels do not wait for them.
func TestComputePriority(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.compute(gate)
		for _, text := range []string{"a", "b", "c", "d"} {
			r.Deliver(overUDP, message(initExchange, false, text))
		}
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "run a") || !strings.Contains(got, "run b") || strings.Contains(got, "run c") {
			t.Errorf("of four strangers run: %s", got)
		}
		r.Deliver(overUDP, message(infoExchange, false, "rekey"))
		r.Deliver(overUDP, message(authExchange, true, "answer"))
		synctest.Wait()
		got := strings.Join(r.journal.take(), "; ")
		for _, want := range []string{"run rekey", "run answer"} {
			if !strings.Contains(got, want) {
				t.Errorf("got %s, want %s in it", got, want)
			}
		}
		if strings.Contains(got, "run c") {
			t.Errorf("a third stranger runs: %s", got)
		}
		close(gate)
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "computed 4: d") {
			t.Errorf("the strangers never: %s", got)
		}
	})
}

// Computations of established SAs, however many and slow, do not keep newcomers' from running.
func TestNewcomersDoNotStarve(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		defer close(gate)
		r.compute(gate)
		for range 100 {
			r.Deliver(overUDP, message(infoExchange, false, "rekey"))
		}
		synctest.Wait()
		r.journal.take()
		r.Deliver(overUDP, message(initExchange, false, "newcomer"))
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "run newcomer") {
			t.Errorf("beside 100 computations of established SAs: %s", got)
		}
	})
}

// Our AUTH for a newcomer that has proved who it is waits for no stranger, and the AUTHs together
// keep further newcomers waiting.
func TestProvedWaitForNoStrangers(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		r.compute(gate)
		for _, text := range []string{"a", "b", "c"} {
			r.Deliver(overUDP, message(initExchange, false, text))
		}
		synctest.Wait()
		r.journal.take()
		script := r.engine.script
		r.engine.script = func(now time.Time, in ike.Input, fx *ike.Effects) {
			script(now, in, fx)
			for i := range fx.List {
				if c, ok := fx.List[i].(ike.Compute); ok {
					c.Proved = true
					fx.List[i] = c
				}
			}
		}
		for range 1 + maxNewcomerJobs - 1 { // one runs, and c waits
			r.Deliver(overUDP, message(authExchange, false, "proof"))
		}
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); strings.Count(got, "run proof") != 1 || strings.Contains(got, "run c") {
			t.Errorf("got %s, want one proof", got)
		}
		r.Deliver(overUDP, message(authExchange, false, "late"))
		r.Deliver(overUDP, message(infoExchange, false, "rekey"))
		synctest.Wait()
		if got := strings.Join(r.journal.take(), "; "); !strings.Contains(got, "run rekey") || len(r.queues[classAuth].datagrams) != 1 {
			t.Errorf("got %s, and %d datagrams of newcomers wait, want one", got, len(r.queues[classAuth].datagrams))
		}
		close(gate)
	})
}

// The inputs that follow from a stranger's computation have its class.
func TestComputeInheritsClass(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Datagram:
				fx.List = append(fx.List, ike.Compute{ID: 1, Run: func() any { return nil }})
			case ike.Computed:
				for range 3 {
					fx.List = append(fx.List, ike.Compute{ID: 2, Run: func() any { time.Sleep(time.Hour); return nil }})
				}
				r.engine.script = nil
			}
		}
		r.Deliver(overUDP, message(authExchange, false, ""))
		synctest.Wait()
		r.call(context.Background(), func() {
			if f, n := len(r.loop.pool.established.waiting), len(r.loop.pool.newcomers.waiting); f != 0 || n != 1 {
				t.Errorf("got %d and %d jobs waiting, want 0 and 1", f, n)
			}
		})
	})
}

func TestComputePanics(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		close(gate)
		r.compute(gate)
		r.Deliver(overUDP, message(infoExchange, false, "panic"))
		r.Deliver(overUDP, message(infoExchange, false, "good"))
		synctest.Wait()
		got := strings.Join(r.journal.take(), "; ")
		if !strings.Contains(got, "computed 1: internal error in a computation: bad point") || !strings.Contains(got, "computed 2: good") {
			t.Errorf("got %s", got)
		}
		if got := r.counter("ike_compute_panic"); got != 1 {
			t.Errorf("got %d, want 1", got)
		}
	})
}

// TestBacklogGivesItsMemoryBack: the backing array of a flood goes with its last job.
func TestBacklogGivesItsMemoryBack(t *testing.T) {
	var b backlog
	b.waiting = append(b.waiting, job{}, job{})
	if b.taken(); len(b.waiting) != 1 {
		t.Errorf("%d jobs of two wait after one was taken", len(b.waiting))
	}
	if b.taken(); b.waiting != nil {
		t.Errorf("%d jobs, room for %d, after the last one", len(b.waiting), cap(b.waiting))
	}
}

// TestDearHaveATurn: a steady run of quick newcomers' jobs, however long, has a dear one wait for a
// few of them only, and the next dear one as well.
func TestDearHaveATurn(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		var ran atomic.Int64
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			_, first := in.(ike.Datagram)
			_, next := in.(ike.Computed)
			quick := ike.Compute{ID: 2, Run: func() any { ran.Add(1); time.Sleep(time.Millisecond); return nil }}
			switch {
			case first:
				dear := ike.Compute{ID: 1, Dear: true, Run: func() any { r.journal.add("dear after %d", ran.Load()); return nil }}
				fx.List = append(fx.List, quick, quick, dear, dear)
			case next && ran.Load() < 10*dearTurn:
				fx.List = append(fx.List, quick)
			case in == ike.Shutdown{}:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.Deliver(overUDP, message(initExchange, false, ""))
		time.Sleep(time.Minute)
		var got []int
		for _, line := range r.journal.take() {
			var after int
			if n, _ := fmt.Sscanf(line, "dear after %d", &after); n == 1 {
				got = append(got, after)
			}
		}
		near := func(n int) bool { return n >= dearTurn-4 && n <= dearTurn+4 } // there are two workers
		if len(got) != 2 || !near(got[0]) || !near(got[1]-got[0]) {
			t.Errorf("dear ones begin after %d quick ones, want %d and %d", got, dearTurn, 2*dearTurn)
		}
	})
}

// TestTurnKeepsTheOrder: the quick jobs that wait while a dear one has its turn keep their order.
func TestTurnKeepsTheOrder(t *testing.T) {
	p := newPool()
	b := &p.newcomers
	for id := range uint64(3) {
		p.add(job{id: id, class: classInit})
	}
	p.add(job{id: 3, dear: true, class: classInit})
	p.add(job{id: 4, dear: true, class: classInit})
	b.passed = dearTurn
	var got []uint64
	for jobs, j := b.next(); jobs != nil; jobs, j = b.next() {
		got = append(got, j.id)
		b.taken()
	}
	if !slices.Equal(got, []uint64{3, 0, 1, 2, 4}) || b.passed != 0 {
		t.Errorf("the order is %v, and %d have passed", got, b.passed)
	}
}

// TestQuickBeforeDear: a newcomer's quick job goes before the dear ones of others, and jobs of one
// kind keep their order.
func TestQuickBeforeDear(t *testing.T) {
	p := newPool()
	for i, dear := range []bool{false, true, true, false, true, false} {
		p.add(job{id: uint64(i), dear: dear, class: classInit})
	}
	p.add(job{id: 6, dear: true, class: classEstablished})
	p.add(job{id: 7, class: classEstablished})
	order := func(b *backlog) (ids []uint64) {
		for jobs, j := b.next(); jobs != nil; jobs, j = b.next() {
			ids = append(ids, j.id)
			b.taken()
		}
		return ids
	}
	if got := order(&p.newcomers); !slices.Equal(got, []uint64{0, 3, 5, 1, 2, 4}) {
		t.Errorf("newcomers' jobs run in the order %v", got)
	}
	if got := order(&p.established); !slices.Equal(got, []uint64{6, 7}) {
		t.Errorf("those of established SAs run in the order %v", got)
	}
}
