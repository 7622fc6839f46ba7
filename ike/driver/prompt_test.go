package driver

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestAllowance: a worker may use its burst at once, then its part, and what it leaves does not add
// up beyond the burst.
func TestAllowance(t *testing.T) {
	var a allowance
	now := time.Unix(1000, 0)
	spend := func(after, used, want time.Duration) {
		t.Helper()
		now = now.Add(after)
		if got := a.spend(now, used); got != want {
			t.Errorf("after %v of use the worker rests %v, want %v", used, got, want)
		}
	}
	spend(0, promptBurst, 0)
	spend(0, time.Millisecond, promptShare*time.Millisecond)
	spend(promptShare*time.Millisecond, time.Millisecond, promptShare*time.Millisecond)
	spend(time.Hour, promptBurst, 0)
	spend(0, time.Millisecond, promptShare*time.Millisecond)
}

// TestPromptTakesQuickJobs: the prompt worker is offered quick jobs of newcomers in their order,
// and no dear ones; those that it takes count as having passed a dear one.
func TestPromptTakesQuickJobs(t *testing.T) {
	p := newPool()
	b := &p.newcomers
	for i, dear := range []bool{true, false, false} {
		p.add(job{id: uint64(i), dear: dear, class: classInit})
	}
	p.add(job{id: 7, class: classEstablished})
	var got []uint64
	for jobs, j := b.nextQuick(); jobs != nil; jobs, j = b.nextQuick() {
		got = append(got, j.id)
		b.takenQuick()
	}
	if !slices.Equal(got, []uint64{1, 2}) || b.passed != 2 || len(b.waiting) != 1 {
		t.Errorf("it took %v, %d have passed, %d wait", got, b.passed, len(b.waiting))
	}
	if jobs, _ := p.established.nextQuick(); jobs != nil {
		t.Error("it is offered a job of an established SA")
	}
}

// TestWorkPromptly runs jobs on the prompt worker, which rests after one that takes more than its
// burst, and ends meanwhile.
func TestWorkPromptly(t *testing.T) {
	p, done := newPool(), make(chan struct{})
	var workers sync.WaitGroup
	workers.Go(func() { p.workPromptly(done) })
	for id := range uint64(3) {
		p.newcomers.quick <- job{id: id, run: func() any { return id }}
		if r := <-p.results; r.value != id {
			t.Fatalf("job %d: %v", id, r.value)
		}
	}
	p.newcomers.quick <- job{run: func() any {
		for begun := threadTime(); threadTime()-begun < 2*promptBurst; runtime.Gosched() {
		}
		return nil
	}}
	<-p.results
	select {
	case p.newcomers.quick <- job{}:
		t.Error("it does not rest")
	default:
	}
	close(done)
	workers.Wait()
}
