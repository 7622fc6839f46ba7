package dataplane

import (
	"bytes"
	"net/netip"
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
}

// TestPartsOfAPolicy: of several SAs of a policy each carries what its selectors match, in both
// families, whichever is the newest, and the rekeying of one does not touch the others.
func TestPartsOfAPolicy(t *testing.T) {
	a, b := twoGateways(t, 2, nil)
	parts := map[ipsec.ChildID][2]string{1: {"10.2.0.0/24", "2001:db8:2::/64"}, 2: {"10.2.1.0/24", "2001:db8:2:1::/64"}}
	up := func(id ipsec.ChildID, of [2]string) {
		sa := childSA(t, a, b, id)
		sa.RemoteTS = nets(of[0], of[1])
		install(t, a, b, sa)
	}
	for id := ipsec.ChildID(1); id <= 2; id++ {
		up(id, parts[id])
	}
	want := func(dst string, id ipsec.ChildID) {
		t.Helper()
		src := src4
		to := netip.AddrPortFrom(netip.MustParseAddr(dst), 7)
		if to.Addr().Is6() {
			src = src6
		}
		f := parse(t, udpPacket(src, to, true, nil)).Flow
		for worker := range 2 {
			got := a.slots[lan].pick(&f, 0, worker)
			if got == nil && id == 0 {
				continue
			}
			if got == nil || got.sa.ID != id {
				t.Errorf("worker %d sends to %s on %v, want SA %d", worker, dst, got, id)
			}
		}
	}
	all := func(first, second ipsec.ChildID) {
		t.Helper()
		want("10.2.0.9", first)
		want("2001:db8:2::9", first)
		want("10.2.1.9", second)
		want("2001:db8:2:1::9", second)
		want("10.2.2.9", 0)
		want("2001:db8:2:2::9", 0)
	}
	all(1, 2)
	up(3, parts[1])
	all(3, 2)
	a.RemoveSA(1)
	all(3, 2)
	a.DeactivateOutbound(2)
	all(3, 0)
	a.ActivateOutbound(2)
	all(3, 2)
	pkt := udpPacket(src4, netip.MustParseAddrPort("10.2.1.9:7"), true, []byte("by the second"))
	a.queues[0].inject(pkt)
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Errorf("got %x", got)
	}
}

// TestAcquireForAPart: what no SA of the policy carries is asked for, waits, and is sent by the SA
// that comes, while the SA that is there carries the rest.
func TestAcquireForAPart(t *testing.T) {
	a, b := narrowTunnel(t, 1)
	outside := udpPacket(src4, netip.MustParseAddrPort("10.2.1.1:5001"), true, []byte("outside"))
	inside := udpPacket(src4, netip.MustParseAddrPort("10.2.0.1:5001"), true, []byte("inside"))
	a.queues[0].inject(outside)
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Flow != parse(t, outside).Flow || e.Resource != 0 {
		t.Errorf("asked for %+v", e)
	}
	a.queues[0].inject(inside)
	if got := b.queues[0].want(t); !bytes.Equal(got, inside) {
		t.Errorf("got %x", got)
	}
	sa := childSA(t, a, b, 2)
	sa.RemoteTS = nets("10.2.1.0/24")
	install(t, a, b, sa)
	if got := b.queues[0].want(t); !bytes.Equal(got, outside) {
		t.Errorf("got %x", got)
	}
	if n := a.Counters()["out_not_granted"]; n != 0 {
		t.Errorf("%d packets were refused", n)
	}
}
