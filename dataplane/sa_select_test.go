package dataplane

import (
	"sync/atomic"
	"testing"

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
