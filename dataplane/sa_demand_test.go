package dataplane

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

func TestBusyWorkerAsksForItsOwnSA(t *testing.T) {
	a, b := twoGateways(t, 2, nil)
	a.clock.Store(time.Now().UnixNano())
	sa := childSA(t, a, b, 1)
	sa.PerResource = true
	install(t, a, b, sa)
	send := func(worker, n int) {
		for range n {
			a.queues[worker].inject(udpPacket(src4, dst4, true, nil))
			b.wantAnywhere(t)
		}
	}
	send(1, demandSends-1)
	a.wantNoEvent(t)
	send(1, 1)
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Resource != 2 || e.Policy != lan || e.Flow.Dst != dst4.Addr() {
		t.Errorf("asked: %+v, want worker 2 of %v", e, lan)
	}
	send(1, 2*demandSends)
	a.wantNoEvent(t)
	a.clock.Add(demandRepeat)
	send(1, demandSends)
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Resource != 2 {
		t.Errorf("asked again: %+v", e)
	}
	own := childSA(t, a, b, 2)
	own.Resource, own.PerResource = 2, true
	install(t, a, b, own)
	a.clock.Add(demandRepeat)
	send(1, demandSends)
	a.wantNoEvent(t)
	for range demandSends { // a few each second are not worth it
		a.clock.Add(demandWindow / 8)
		send(0, 1)
	}
	a.wantNoEvent(t)
}

func TestNobodyAsksWhereThePeerHasOneSA(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	for range 2 * demandSends {
		a.queues[1].inject(udpPacket(src4, dst4, true, nil))
		b.queues[1].want(t)
	}
	a.wantNoEvent(t)
}

// The events wait in a list whose length nobody else bounds.
func TestAWorkersWishIsHeardOnce(t *testing.T) {
	q := newEvents()
	other := ipsec.PolicyID(2)
	for range 100 {
		q.post(ipsec.Event{Kind: ipsec.EventAcquire, Policy: lan, Resource: 1})
		q.post(ipsec.Event{Kind: ipsec.EventAcquire, Policy: lan, Resource: 2})
		q.post(ipsec.Event{Kind: ipsec.EventAcquire, Policy: other, Resource: 1})
	}
	if got := q.drain(); len(got) != 3 {
		t.Errorf("%d events, want 3: %+v", len(got), got)
	}
	q.post(ipsec.Event{Kind: ipsec.EventAcquire, Policy: lan, Resource: 1})
	if got := q.drain(); len(got) != 1 {
		t.Errorf("after Drain: %d events, want 1", len(got))
	}
}
