package dataplane

import (
	"testing"

	"culvert/esp"
	"culvert/internal/ipsec"
)

// A pair that is taken out, on both sides, goes on in one of the same keys: the peer takes its next
// packets for new ones, and what was accepted before is refused.
func TestTakeOut(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	sa.ESN = false
	install(t, a, b, sa)
	send := func(n int) {
		t.Helper()
		for range n {
			a.queues[0].inject(udpPacket(src4, dst4, true, nil))
			b.queues[0].want(t)
		}
	}
	send(3)
	again := func(g *gateway, next ipsec.ChildSA, from ipsec.ChildID) esp.State {
		t.Helper()
		state, ok := g.TakeOut(from)
		if !ok {
			t.Fatalf("pair %d is not there", from)
		}
		next.ID, next.State = from+1, state
		if err := g.InstallInbound(next); err != nil {
			t.Fatal(err)
		}
		g.ActivateOutbound(next.ID)
		return state
	}
	mine := sa
	if s := again(a, mine, sa.ID); s.Sent.Packets != 3+takenOutSkip || s.Sent.Octets == 0 {
		t.Errorf("a's state is %+v", s)
	}
	send(3) // b has its old pair, and no gap in its window
	if s := again(b, mirror(sa), sa.ID); s.Highest != 6+takenOutSkip || s.Received.Packets != 6 {
		t.Errorf("b's state is %+v", s)
	}
	send(3)
	fresh := sa
	fresh.ID = sa.ID + 7
	a.TakeOut(sa.ID + 1)
	if err := a.InstallInbound(fresh); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(fresh.ID)
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.wantCounter(t, "esp_replay", 1)
	if _, ok := a.TakeOut(99); ok {
		t.Error("a pair that is not there has a state")
	}
}

// The packets of a pair that goes on need not wait for sequence numbers that another has used,
// where several workers send on it, and the policy counts each packet once.
func TestTakeOutWithWorkers(t *testing.T) {
	a, b := twoGateways(t, 2, nil)
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.wantReceived(t, 1)
	next := sa
	state, _ := a.TakeOut(sa.ID)
	next.ID, next.State = sa.ID+1, state
	if err := a.InstallInbound(next); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(next.ID)
	for i := range 2 {
		a.queues[i].inject(udpPacket(src4, dst4, true, nil))
	}
	b.wantReceived(t, 3)
	if st, _ := a.PolicyStats(sa.Policy); st.PacketsOut != 3 || st.BytesOut != 3*uint64(len(udpPacket(src4, dst4, true, nil))) {
		t.Errorf("the policy counts %d packets, %d octets; want 3", st.PacketsOut, st.BytesOut)
	}
	if s, ok := a.State(next.ID); !ok || s.Sent.Packets != state.Sent.Packets+2 {
		t.Errorf("the state is %+v, %v", s, ok)
	}
	if _, ok := a.State(99); ok {
		t.Error("a pair that is not there has a state")
	}
}

// A packet whose sequence number may not be used yet is dropped and counted. The SA is not at its
// end: it goes on once more numbers are allowed.
func TestAllowedNumbers(t *testing.T) {
	for workers := 1; workers <= 2; workers++ { // with two, packets are sealed in batches
		a, b := twoGateways(t, workers, nil)
		sa := childSA(t, a, b, 1)
		sa.Allowed = 2
		install(t, a, b, sa)
		send := func(n int) {
			for range n {
				a.queues[0].inject(udpPacket(src4, dst4, true, nil))
			}
		}
		send(5)
		a.wantCounter(t, "out_unrecorded", 3)
		b.wantReceived(t, 2)
		a.Allow(sa.ID, 5)
		a.Allow(99, 7)
		send(2)
		b.wantReceived(t, 4)
		a.queues[0].in.put(nil, superPacket(src4, dst4, 1, random(3000), 1000))
		a.wantCounter(t, "out_unrecorded", 6)
		a.Allow(sa.ID, 8)
		a.queues[0].in.put(nil, superPacket(src4, dst4, 1, random(3000), 1000))
		b.wantReceived(t, 7)
		st, _ := a.PolicyStats(sa.Policy)
		if st.Drops["unrecorded"] != 6 || st.PacketsOut != 7 {
			t.Errorf("%d workers: dropped %d, sent %d; want 6 and 7", workers, st.Drops["unrecorded"], st.PacketsOut)
		}
		a.wantNoEvent(t) // above all none that says that the SA is at its end
	}
}

// wantReceived waits until the policy lan has received n packets.
func (g *gateway) wantReceived(t *testing.T, n uint64) {
	t.Helper()
	eventually(t, "all packets are received", func() bool { st, _ := g.PolicyStats(lan); return st.PacketsIn >= n })
	if st, _ := g.PolicyStats(lan); st.PacketsIn != n {
		t.Errorf("%d packets are received, want %d", st.PacketsIn, n)
	}
}
