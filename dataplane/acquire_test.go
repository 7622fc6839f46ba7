package dataplane

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

func TestFirstPacketsAreKeptAndSent(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	var pkts [][]byte
	for i := range acquirePackets {
		pkts = append(pkts, udpPacket(src4, dst4, true, fmt.Append(nil, i)))
	}
	a.queues[0].inject(pkts...)
	e := a.wantEvent(t, ipsec.EventAcquire)
	if want := parse(t, pkts[0]).Flow; e.Policy != lan || e.Flow != want {
		t.Errorf("acquire for %v %+v, want %v %+v", e.Policy, e.Flow, lan, want)
	}
	a.queues[0].inject(udpPacket(src4, dst4, true, []byte("one too many")))
	a.wantCounter(t, "out_no_sa", 1)
	a.wantNoEvent(t)
	install(t, a, b, childSA(t, a, b, 1))
	for i, want := range pkts {
		if got := b.queues[0].want(t); !bytes.Equal(got, want) {
			t.Errorf("packet %d: %x", i, got)
		}
	}
	if a.acquires.bytes != 0 || len(a.acquires.busy) != 0 {
		t.Errorf("left in the acquireQueue: %d octets, %v", a.acquires.bytes, a.acquires.busy)
	}
}

func TestKeptSuperPacket(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	payload := random(30000)
	a.queues[0].in.put(nil, superPacket(src4, dst4, 3, payload, 1300))
	a.wantEvent(t, ipsec.EventAcquire)
	a.queues[0].in.put(nil, superPacket(src4, dst4, 4, payload, 1300)) // 60 KB: more than may be kept
	a.wantCounter(t, "out_no_sa", 1)
	install(t, a, b, childSA(t, a, b, 1))
	segmentsAt(t, b.queues[0], 3, payload, 1300)
}

func TestAcquireFailed(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	a.clock.Store(int64(1000 * time.Second))
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt)
	a.wantEvent(t, ipsec.EventAcquire)
	a.AcquireFailed(ipsec.PolicyID(99))
	a.AcquireFailed(lan)
	a.wantCounter(t, "out_no_sa", 1)
	a.queues[0].inject(pkt) // too soon
	a.wantCounter(t, "out_no_sa", 2)
	a.wantNoEvent(t)
	eventually(t, "the worker to sleep", a.workers[0].idle.Load) // in its cycle it has the old time
	a.clock.Add(int64(acquireBackoff))
	a.queues[0].inject(pkt)
	a.wantEvent(t, ipsec.EventAcquire)
	install(t, a, b, childSA(t, a, b, 1))
	b.queues[0].want(t)
}

func TestKeptPacketsExpire(t *testing.T) {
	a := newGateway(t, 1, nil)
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	w, start := a.workers[0], time.Unix(1000, 0)
	w.now = start
	pkt := gso.Packet{Data: udpPacket(src4, dst4, true, nil)}
	w.tx.outbound(&pkt, w.now)
	if len(a.Drain()) != 1 {
		t.Fatal("no acquire")
	}
	a.acquires.tick(start.Add(acquireFor - 1))
	if a.acquires.bytes == 0 {
		t.Error("dropped too early")
	}
	a.acquires.tick(start.Add(acquireFor))
	if a.acquires.bytes != 0 || a.Counters()["out_no_sa"] != 1 {
		t.Error("not dropped in time")
	}
	w.now = start.Add(acquireRepeat - 1)
	w.tx.outbound(&pkt, w.now)
	a.acquires.tick(w.now)
	if e := a.Drain(); len(e) != 0 {
		t.Errorf("asked again: %v", e)
	}
	w.now = start.Add(acquireRepeat)
	a.acquires.tick(w.now)
	w.tx.outbound(&pkt, w.now)
	if len(a.Drain()) != 1 {
		t.Error("an Acquire that was never answered is never asked again")
	}
}

func TestKeptPacketsExpireOneByOne(t *testing.T) {
	a := newGateway(t, 1, nil)
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	w, start := a.workers[0], time.Unix(1000, 0)
	pkt := gso.Packet{Data: udpPacket(src4, dst4, true, nil)}
	for i := range 3 {
		w.now = start.Add(time.Duration(i) * 10 * time.Second)
		w.tx.outbound(&pkt, w.now)
	}
	for i := range 3 {
		a.acquires.tick(start.Add(acquireFor + time.Duration(i)*10*time.Second))
		if want := 2 - i; a.acquires.bytes != want*len(pkt.Data) || len(a.slots[lan].acquire.packets) != want {
			t.Errorf("%d octets in %d packets are kept, want %d packets", a.acquires.bytes, len(a.slots[lan].acquire.packets), want)
		}
	}
	a.wantCounter(t, "out_no_sa", 3)
}

func TestAllThatIsKeptIsBounded(t *testing.T) {
	a := newGateway(t, 1, nil)
	var ps []ipsec.Policy
	for i := range 400 {
		ps = append(ps, ipsec.Policy{ID: ipsec.PolicyID(i + 1), Local: lanA(), Remote: []selector.Selector{selector.FromAddr(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))}})
	}
	if err := a.SetPolicies(ps); err != nil {
		t.Fatal(err)
	}
	w := a.workers[0]
	for i := range 400 {
		dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 1)
		for range 40 {
			pkt := gso.Packet{Data: udpPacket(src4, dst, true, make([]byte, 1400))}
			w.tx.outbound(&pkt, w.now)
		}
	}
	if a.acquires.bytes > acquireAllBytes || a.acquires.bytes < acquireAllBytes-1500 {
		t.Errorf("%d octets are kept", a.acquires.bytes)
	}
	if n := len(a.Drain()); n != 400 {
		t.Errorf("%d acquires for 400 policies", n)
	}
	for _, p := range ps {
		a.AcquireFailed(p.ID)
	}
	if a.acquires.bytes != 0 || len(a.acquires.busy) != 0 {
		t.Error("something is left")
	}
}

// TestNarrowedByThePeer: each SA carries only the flow that asked for it, so each flow gets its
// own.
func TestNarrowedByThePeer(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	flow := func(i byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, i}), 9) }
	narrow := func(id ipsec.ChildID, i byte) ipsec.ChildSA {
		sa := childSA(t, a, b, id)
		sa.RemoteTS = []selector.Selector{selector.FromAddr(flow(i).Addr())}
		return sa
	}
	for i := byte(1); i <= 3; i++ {
		a.queues[0].inject(udpPacket(src4, flow(i), true, []byte{i}))
	}
	for i := byte(1); i <= 3; i++ {
		e := a.wantEvent(t, ipsec.EventAcquire)
		if e.Flow.Dst != flow(i).Addr() {
			t.Errorf("acquire %d is for %v", i, e.Flow.Dst)
		}
		install(t, a, b, narrow(ipsec.ChildID(i), i))
		if got := b.queues[0].want(t); got[len(got)-1] != i {
			t.Errorf("packet of flow %d, want %d", got[len(got)-1], i)
		}
	}
	for i := byte(1); i <= 3; i++ { // each goes through its own now
		a.queues[0].inject(udpPacket(src4, flow(i), true, []byte{i}))
		b.queues[0].want(t)
		if st, _ := a.ChildStats(ipsec.ChildID(i)); st.PacketsOut != 2 {
			t.Errorf("SA %d sent %d packets, want 2", i, st.PacketsOut)
		}
	}
	// An SA of another flow does not answer an Acquire: the Acquire stays the only one.
	a.queues[0].inject(udpPacket(src4, flow(4), true, nil))
	a.wantEvent(t, ipsec.EventAcquire)
	install(t, a, b, narrow(5, 1))
	a.queues[0].inject(udpPacket(src4, flow(4), true, nil), udpPacket(src4, flow(1), true, nil))
	b.queues[0].want(t)
	a.wantNoEvent(t)
}

// Packets of a policy that is held down are dropped and counted as such, through changes of the
// SPD, and cause no negotiation.
func TestHoldPolicy(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt)
	a.wantEvent(t, ipsec.EventAcquire)
	a.HoldPolicy(ipsec.PolicyID(99), true)
	a.HoldPolicy(lan, true)
	a.wantCounter(t, "out_no_sa", 1)
	a.queues[0].inject(pkt)
	a.wantCounter(t, "out_down", 1)
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	a.queues[0].inject(pkt)
	a.wantCounter(t, "out_down", 2)
	a.wantNoEvent(t)
	a.HoldPolicy(lan, false)
	a.queues[0].inject(pkt)
	a.wantEvent(t, ipsec.EventAcquire)
	install(t, a, b, childSA(t, a, b, 1))
	b.queues[0].want(t)
	a.wantCounter(t, "out_no_sa", 1)
}

// Packets that come on an SA of a policy that is held down are refused at once, although the SA is
// there until its peer has answered the Delete.
func TestHoldRefusesInbound(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt)
	b.queues[0].want(t)
	b.HoldPolicy(lan, true)
	a.queues[0].inject(pkt)
	b.wantCounter(t, "esp_down", 1)
	if st, _ := b.ChildStats(1); st.Drops["down"] != 1 {
		t.Errorf("the child's drops are %v", st.Drops)
	}
	b.HoldPolicy(lan, false)
	a.queues[0].inject(pkt)
	b.queues[0].want(t)
	b.wantCounter(t, "esp_down", 1)

	b.HoldPolicy(lan, true) // one that was negotiated meanwhile
	install(t, a, b, childSA(t, a, b, 2))
	a.queues[0].inject(pkt)
	b.wantCounter(t, "esp_down", 2)
}
