package dataplane

import (
	"slices"
	"sync/atomic"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

// receives has a worker receive a batch from the busy worker's port, and open it as far as it may.
func (r *rxOrderRig) receives(t *testing.T, worker int) *rx {
	t.Helper()
	x := &r.workers[worker].rx
	if _, err := x.carry(r.workers[busy].rx.order); err != nil {
		t.Fatal(err)
	}
	return x
}

// begins has a worker receive a batch, and keeps it from going on until finish is called.
func (r *rxOrderRig) begins(t *testing.T, worker int) (x *rx) {
	t.Helper()
	x = &r.workers[worker].rx
	if !x.batch.enter(r.workers[busy].rx.order) {
		t.Fatal("the receive order is taken")
	}
	_, n, err := x.receive()
	if err != nil {
		t.Fatal(err)
	}
	x.batch.leave()
	x.receivedAll(n)
	return x
}

// TestBatchesAreLeft: a worker whose batch may not be accepted, or not be written, because another
// one holds the batch before, leaves it and serves its own queue. Once the other one goes on, all
// is delivered in order.
func TestBatchesAreLeft(t *testing.T) {
	for _, hold := range []batchStage{decrypted, gathered} {
		r := newRxOrderRig(t, 4096, nil)
		if err := r.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
			t.Fatal(err)
		}
		r.ActivateOutbound(1)
		var sent atomic.Int64
		r.ports[2].wiretap(func(*netio.Outgoing) { sent.Add(1) })
		for range 3 {
			r.ports[busy].in.put(nil, run(r.packets(20)))
		}
		first := r.begins(t, 0)
		if hold == gathered {
			if !first.batch.mayAccept() {
				t.Fatal("the first batch may not be accepted")
			}
			first.batch.passAccept()
		}
		second := r.receives(t, 2)
		if second.batch.stage != hold {
			t.Fatalf("the second batch is in stage %d, want %d", second.batch.stage, hold)
		}
		if hold == gathered && len(second.noted.writes) == 0 {
			t.Error("no write was noted")
		}
		r.queues[2].inject(udpPacket(src4, dst4, true, nil))
		r.workers[2].tx.ready = true
		if _, err := r.workers[2].cycle(); err != nil {
			t.Fatal(err)
		}
		if sent.Load() != 1 {
			t.Error("the worker's own packet was not sent")
		}
		if _, err := second.carry(r.workers[busy].rx.order); err == nil {
			t.Error("another batch was taken in place of the one that is left")
		}
		for _, q := range r.queues {
			q.wantIdle(t)
		}
		first.openBatch(true)
		r.receives(t, 2) // the one that was left first
		if got := r.delivered(t, len(r.sent)); !slices.Equal(got, r.sent) {
			t.Errorf("delivered %v", got)
		}
	}
}

// TestStopWithABatchLeft: a worker that is stopped while its batch is left finishes it, so that no
// other waits for it.
func TestStopWithABatchLeft(t *testing.T) {
	r := newRxOrderRig(t, 4096, nil)
	for range 2 {
		r.ports[busy].in.put(nil, run(r.packets(3)))
	}
	first := r.begins(t, 0)
	r.receives(t, 2)
	w, done := r.workers[2], make(chan error)
	w.stop()
	go func() { done <- w.run() }()
	first.openBatch(true)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := r.delivered(t, len(r.sent)); !slices.Equal(got, r.sent) {
		t.Errorf("delivered %v", got)
	}
}

// TestNotingAllocatesNothing: writes are noted in memory that is kept.
func TestNotingAllocatesNothing(t *testing.T) {
	var w notedWrites
	c, p, pieces := &pair{}, smallSource(), make([][]byte, 4)
	note := func() {
		for range 5 {
			w.add(c, &p, pieces)
		}
		w.clear()
	}
	note()
	if n := testing.AllocsPerRun(100, note); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
