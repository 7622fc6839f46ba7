package mutate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// trials tests the mutants of a package, several at the same time, until enough of them compiled.
type trials struct {
	lab      *lab
	order    []Mutant
	want     int
	progress io.Writer

	mu      sync.Mutex // for all below
	next    int        // in order
	pending int        // under test
	result  *Result
	told    time.Time
	err     error
}

// run returns when the result has as many mutants as wanted, when none is left, or when ctx ends.
func (t *trials) run(ctx context.Context, parallel int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.told = time.Now()
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() { t.work(ctx, cancel) })
	}
	wg.Wait()
	return t.err
}

// work tests one mutant after the other, and so draws the next one where one did not compile. An
// error ends the work of all.
func (t *trials) work(ctx context.Context, cancel context.CancelFunc) {
	for {
		m, ok := t.take()
		if !ok {
			return
		}
		outcome, err := t.lab.try(ctx, m)
		if !t.put(m, outcome, err) {
			cancel()
			return
		}
	}
}

// take draws the next mutant, if more of them are wanted than are tested and under test. The
// mutants drawn are therefore always the first of the order, however many are tested at a time.
func (t *trials) take() (m Mutant, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil || t.next == len(t.order) || t.result.Mutants()+t.pending >= t.want {
		return m, false
	}
	t.pending++
	t.next++
	return t.order[t.next-1], true
}

// put adds an outcome to the result. It reports whether to go on.
func (t *trials) put(m Mutant, outcome Outcome, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending--
	if err != nil {
		if t.err == nil || errors.Is(t.err, context.Canceled) {
			t.err = err
		}
		return false
	}
	t.result.add(m, outcome)
	const interval = 5 * time.Second
	if now := time.Now(); now.Sub(t.told) >= interval {
		t.told = now
		r := t.result
		fmt.Fprintf(t.progress, "%s: %d of %d mutants, %d survived\n", r.Package, r.Mutants(), t.want, len(r.Survivors))
	}
	return true
}
