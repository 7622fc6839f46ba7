package dataplane

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// spare is a second policy for the networks of lan.
const spare = ipsec.PolicyID(2)

// twoPolicies are gateways of which both have lan, and spare as well, which stands by at a. Each
// policy has a pair, of its own ID.
func twoPolicies(t *testing.T) (a, b *gateway) {
	a, b = twoGateways(t, 1, nil)
	for _, g := range []*gateway{a, b} {
		local, remote := lanA(), lanB()
		if g == b {
			local, remote = remote, local
		}
		if err := g.ChangePolicies([]ipsec.Policy{{ID: spare, Local: local, Remote: remote, Standby: true}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func installFor(t *testing.T, a, b *gateway, policy ipsec.PolicyID) {
	t.Helper()
	sa := childSA(t, a, b, ipsec.ChildID(policy))
	sa.Policy = policy
	install(t, a, b, sa)
}

// wantSent sends a packet from a, and checks on which pair it comes to b.
func wantSent(t *testing.T, a, b *gateway, pkt []byte, on ipsec.ChildID) {
	t.Helper()
	before, _ := b.ChildStats(on)
	a.queues[0].inject(pkt)
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Errorf("got %x, want %x", got, pkt)
	}
	if now, _ := b.ChildStats(on); now.PacketsIn != before.PacketsIn+1 {
		t.Errorf("it did not come on pair %d", on)
	}
}

// Of two policies with the same networks one stands by, whichever was set first. What comes on the
// SAs of either is accepted. A change of the SPD that leaves both there changes nothing.
func TestStandbyPolicy(t *testing.T) {
	a, b := twoPolicies(t)
	installFor(t, a, b, lan)
	installFor(t, a, b, spare)
	both := []ipsec.Policy{
		{ID: spare, Local: lanA(), Remote: lanB(), Standby: true},
		{ID: lan, Local: lanA(), Remote: lanB()},
	}
	for _, pkt := range [][]byte{udpPacket(src4, dst4, true, nil), udpPacket(src6, dst6, true, nil)} {
		wantSent(t, a, b, pkt, 1)
		a.StandbyPolicy(spare, false) // the first one still wins
		wantSent(t, a, b, pkt, 1)
		a.StandbyPolicy(lan, true)
		wantSent(t, a, b, pkt, 2)
		if err := a.SetPolicies(both); err != nil {
			t.Fatal(err)
		}
		wantSent(t, a, b, pkt, 2)
		a.StandbyPolicy(lan, false) // the second one still wins
		wantSent(t, a, b, pkt, 2)
		a.StandbyPolicy(spare, true)
		wantSent(t, a, b, pkt, 1)
	}
	b.StandbyPolicy(spare, false)
	b.StandbyPolicy(lan, true)
	back := udpPacket(dst4, src4, true, []byte("back"))
	wantSent(t, b, a, back, 2)
	a.StandbyPolicy(99, true)
	if err := a.ChangePolicies(nil, []ipsec.PolicyID{lan}); err != nil {
		t.Fatal(err)
	}
	wantSent(t, a, b, udpPacket(src4, dst4, true, nil), 2)
}

// The packets that wait for an SA of a policy that now stands by go with the other one, also those
// that a worker found its policy for before.
func TestStandbyTakesWaitingPackets(t *testing.T) {
	a, b := twoPolicies(t)
	installFor(t, a, b, spare)
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt)
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != lan {
		t.Fatalf("an Acquire of policy %d", e.Policy)
	}
	a.StandbyPolicy(spare, false)
	a.StandbyPolicy(lan, true)
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Errorf("got %x", got)
	}
	flow, x := parse(t, pkt).Flow, txPacket{}
	var th thread
	th.plane = a.Plane
	if v := a.acquires.add(a.slots[lan], &flow, &x, &th, time.Now()); v != yielded {
		t.Errorf("the verdict for the policy that stands by is %d", v)
	}
	if a.acquires.bytes != 0 || len(a.acquires.busy) != 0 {
		t.Error("something is left in the queue")
	}
	// While all stand by, the first of them is asked for.
	a.StandbyPolicy(spare, true)
	a.RemoveSA(ipsec.ChildID(spare))
	a.queues[0].inject(pkt)
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != lan {
		t.Errorf("an Acquire of policy %d", e.Policy)
	}
}

// TestStandbyGoesWhileSent: a worker found the policy that stands by for a packet, and then no
// policy is there: it answers as for any other packet without one.
func TestStandbyGoesWhileSent(t *testing.T) {
	a := newGateway(t, 1, nil)
	if err := a.ChangePolicies([]ipsec.Policy{{ID: spare, Local: lanA(), Remote: lanB(), Standby: true}}, nil); err != nil {
		t.Fatal(err)
	}
	pkt := udpPacket(src4, dst4, true, nil)
	x := txPacket{pkt: &gso.Packet{Data: pkt}, hdr: *parse(t, pkt)}
	found, ok := a.policyFor(&x.hdr.Flow)
	if !ok || found.policy != spare {
		t.Fatalf("found %v", found)
	}
	if err := a.ChangePolicies(nil, []ipsec.PolicyID{spare}); err != nil {
		t.Fatal(err)
	}
	w := a.workers[0]
	w.tx.dispatch(&x, found, &x.hdr.Flow)
	if n := a.Counters()[reasonNames[dropNoPolicy].plane]; n != 1 {
		t.Errorf("%d packets without a policy, want one", n)
	}
}

// A policy that stands by still wins over a shorter prefix, and over the policy that protects what
// no party has.
func TestStandbyOrders(t *testing.T) {
	g := newGateway(t, 1, nil)
	inner := nets("10.2.3.0/24")
	for _, c := range []ipsec.Policy{
		{ID: 1, Local: lanA(), Remote: lanB()},
		{ID: 2, Local: nets("10.1.0.0/16"), Remote: inner, Fallback: true},
		{ID: 3, Local: nets("10.1.0.0/16"), Remote: inner, Standby: true},
	} {
		if err := g.ChangePolicies([]ipsec.Policy{c}, nil); err != nil {
			t.Fatal(err)
		}
	}
	flow := selector.Flow{Src: src4.Addr(), Dst: inner[0].Start, Protocol: 17, SrcPort: 1, DstPort: 2}
	if s, ok := g.policyFor(&flow); !ok || s.policy != 3 {
		t.Errorf("found %v", s.policy)
	}
}

// A probe on the pair of a policy that stands by is answered, which counts as received there, and
// as no traffic.
func TestProbePair(t *testing.T) {
	probing := func(c *Config) { c.Probe = true }
	a, b := twoGateways(t, 1, probing)
	installFor(t, a, b, lan)
	if err := a.ChangePolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}, nil); err != nil {
		t.Fatal(err)
	}
	a.StandbyPolicy(lan, true)
	a.ProbePair(99)
	a.ProbePair(ipsec.ChildID(lan))
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		if last, _ := a.LastTraffic(ipsec.ChildID(lan)); !last.Answered.IsZero() && !last.In.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the probe was not answered")
		}
	}
	if st, _ := a.ChildStats(ipsec.ChildID(lan)); !st.LastOut.IsZero() {
		t.Errorf("stats %+v", st)
	}
	if e := b.wantEvent(t, ipsec.EventProbed); e.ID != ipsec.ChildID(lan) {
		t.Errorf("event %+v", e)
	}
}

// The answer to a probe comes on an SA of the same policy, although another one's is newer on the
// same path: it shows that the policy's packets pass. Where the policy has none to send on, any
// will do for the path's MTU.
func TestProbeIsAnsweredOnItsPolicy(t *testing.T) {
	a, b, _ := probing(t, 1500, nil)
	installFor(t, a, b, lan)
	installFor(t, a, b, spare)
	old, young := ipsec.ChildID(lan), ipsec.ChildID(spare)
	before := a.clock.Add(int64(time.Second))
	a.ProbePair(old)
	eventually(t, "an answer", func() bool { last, _ := a.LastTraffic(old); return last.Answered.UnixNano() >= before })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range []*pair{b.pairs[old], b.pairs[young]} {
		if on := b.answersOn(c); on != c {
			t.Errorf("the answer to %d goes on %d", c.sa.ID, on.sa.ID)
		}
	}
	b.pairs[old].active = false
	if on := b.answersOn(b.pairs[old]); on != b.pairs[young] {
		t.Errorf("without an SA of its policy the answer goes on %v", on)
	}
}

// The requests on the pairs of one policy that are answered in a second have a limit, which those
// on the pairs of another policy of the same path do not use up.
func TestProbesOfManyPolicies(t *testing.T) {
	a, b, _ := probing(t, 1500, nil)
	installFor(t, a, b, lan)
	installFor(t, a, b, spare)
	now := time.Unix(2000, 0)
	b.mu.Lock()
	for range 2 * answersPerSecond {
		b.slots[lan].mayAnswer(now)
	}
	if b.slots[lan].mayAnswer(now) || !b.slots[spare].mayAnswer(now) || !b.slots[lan].mayAnswer(now.Add(time.Second)) {
		t.Error("the limit is not one of a policy in a second")
	}
	b.mu.Unlock()
}

// BenchmarkOutboundOfAGroup is BenchmarkOutboundSmall with three policies that stand by.
func BenchmarkOutboundOfAGroup(b *testing.B) {
	w, s := loop(b, 1)
	var group []ipsec.Policy
	for id := spare; id < spare+3; id++ {
		group = append(group, ipsec.Policy{ID: id, Local: lanA(), Remote: lanB(), Standby: true})
	}
	if err := w.plane.ChangePolicies(group, nil); err != nil {
		b.Fatal(err)
	}
	w.benchmarkOutbound(b, smallPacket())
	if len(s.last.Data) == 0 {
		b.Fatal("nothing was sent")
	}
}
