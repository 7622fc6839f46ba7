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
