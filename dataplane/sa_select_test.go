package dataplane

import (
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// sentByWorker is the SPI that a worker sends its next packet on.
func sentByWorker(t *testing.T, g *gateway, worker int) uint32 {
	t.Helper()
	var spi atomic.Uint32
	g.ports[worker].wiretap(func(out *netio.Outgoing) {
		n, _ := esp.SPI(out.Data)
		spi.Store(n)
	})
	g.queues[worker].inject(udpPacket(src4, dst4, true, nil))
	eventually(t, "the packet is sent", func() bool { return spi.Load() != 0 })
	return spi.Load()
}

// A worker without an SA of its own sends on the one for all (RFC 9611, Section 4).
func TestWhichSAAWorkerSendsOn(t *testing.T) {
	a, b := twoGateways(t, 3, nil)
	sas := make(map[ipsec.ChildID]ipsec.ChildSA)
	for id, resource := range map[ipsec.ChildID]int{1: 0, 2: 1, 3: 2, 4: 2} {
		sa := childSA(t, a, b, id)
		sa.Resource = resource
		if err := a.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		sas[id] = sa
	}
	want := func(when string, ids ...ipsec.ChildID) {
		t.Helper()
		for worker, id := range ids {
			if got := sentByWorker(t, a, worker); got != sas[id].SPIOut {
				t.Errorf("%s: worker %d sends on %#x, want SA %d", when, worker, got, id)
			}
		}
	}
	a.ActivateOutbound(1)
	want("one for all", 1, 1, 1)
	a.ActivateOutbound(2)
	want("worker 0 has its own", 2, 1, 1)
	a.ActivateOutbound(4)
	a.ActivateOutbound(3)
	want("worker 1 has two, of which the newer one counts", 2, 4, 1)
	a.DeactivateOutbound(4)
	want("the newer one is sent on no more", 2, 3, 1)
	if a.sad.find(sas[4].SPIIn) == nil {
		t.Error("what is sent on no more does not receive, either")
	}
	a.pairs[2].spent.Store(true)
	want("worker 0's own is at its end", 1, 3, 1)
	a.RemoveSA(1)
	want("none is for all", 3, 3, 3)
	a.DeactivateOutbound(99)
	a.RemoveSA(3)
	if set := a.slots[lan].sas.Load(); set.first() != a.pairs[2] {
		t.Errorf("the SA that stands for the policy is %v", set.first())
	}
}

func TestWorkerThatIsNot(t *testing.T) {
	g := newGateway(t, 2, nil)
	for _, resource := range []int{-1, 3} {
		sa := childSA(t, g, g, 1)
		sa.Resource = resource
		if g.InstallInbound(sa) == nil {
			t.Errorf("an SA for worker %d of 2 was installed", resource)
		}
	}
	for _, resource := range []int{-1, 3} { // of more workers than there are any SPI will do
		if _, err := g.AllocSPI(resource); err != nil {
			t.Errorf("AllocSPI(%d): %v", resource, err)
		}
	}
}

func TestBusyWorkerAsksForItsOwnSA(t *testing.T) {
	a, b := twoGateways(t, 2, nil)
	a.clock.Store(time.Now().UnixNano())
	sa := childSA(t, a, b, 1)
	sa.PerResource = true
	install(t, a, b, sa)
	send := func(worker, n int) {
		for range n {
			a.queues[worker].inject(udpPacket(src4, dst4, true, nil))
			b.queues[worker].want(t)
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
	other := ipsec.Policy{Peer: "peer", Child: "other"}
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
