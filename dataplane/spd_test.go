package dataplane

import (
	"bytes"
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
	"culvert/selector"
)

func TestSelectorsOfTheSA(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	theirs := mirror(sa)
	theirs.RemoteTS = nets("10.1.0.0/24") // b negotiated less than a sends
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	if err := b.InstallInbound(theirs); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(1)
	a.queues[0].inject(udpPacket(netip.MustParseAddrPort("10.1.1.1:1"), dst4, true, nil), udpPacket(src6, dst6, true, nil))
	b.wantCounter(t, "esp_selector_mismatch", 2)
	b.queues[0].wantIdle(t)
	inside := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(inside)
	if got := b.queues[0].want(t); !bytes.Equal(got, inside) {
		t.Error("a packet within the selectors did not come through")
	}
	st, _ := b.ChildStats(1)
	if st.Drops["selector_mismatch"] != 2 {
		t.Errorf("drops of the SA: %v", st.Drops)
	}
}

// TestPolicyThatShrinks: a worker may hold the old table while the policy's slot knows the new
// entry already. What only the old one matched must not slip into an SA that covers but the new
// one.
func TestPolicyThatShrinks(t *testing.T) {
	g := newGateway(t, 1, nil)
	sa := childSA(t, g, g, 1)
	sa.RemoteTS = nets("10.2.0.0/24")
	outside := udpPacket(src4, netip.MustParseAddrPort("10.2.9.9:1"), true, nil)
	flow := parse(t, outside).Flow
	if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		t.Fatal(err)
	}
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	g.ActivateOutbound(1)
	old, _ := g.spd.Load().Lookup(&flow)
	if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: nets("10.1.0.0/16"), Remote: nets("10.2.0.0/24")}}); err != nil {
		t.Fatal(err)
	}
	if c := old.pick(&flow, old.order, 0); c != nil {
		t.Error("a packet outside the SA's selectors would be sent on it")
	}
	inside := parse(t, udpPacket(src4, netip.MustParseAddrPort("10.2.0.9:1"), true, nil)).Flow
	now, ok := g.spd.Load().Lookup(&inside)
	if !ok || now.slot != old.slot || now.order == old.order || now.covers(g.pairs[1]) != now.order || now.pick(&inside, now.order, 0) == nil {
		t.Errorf("the new entry: %+v, found %t", now, ok)
	}
}

func TestSetPolicies(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	other := ipsec.PolicyID(2)
	bad := []ipsec.Policy{
		{ID: other, Local: nil, Remote: lanB()},
		{ID: other, Local: lanA(), Remote: []selector.Selector{{}}},
		{ID: lan, Local: lanA(), Remote: lanB()},
		// twice,
	}
	for _, c := range bad {
		if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}, c}); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	before := a.slots[lan]
	ps := []ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}, {ID: other, Local: lanA(), Remote: nets("10.3.0.0/16")}}
	if err := a.SetPolicies(ps); err != nil {
		t.Fatal(err)
	}
	if a.slots[lan] != before || a.spd.Load().Len() != 2 {
		t.Error("the policy that did not change has another slot, or the table is wrong")
	}
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.3.0.1:1"), true, nil))
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != other {
		t.Errorf("acquire for %v", e.Policy)
	}
	// A changed policy keeps its SAs, which carry what they were negotiated for and no more.
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: nets("10.0.0.0/8")}}); err != nil {
		t.Fatal(err)
	}
	a.wantCounter(t, "out_no_sa", 1) // the kept packet of the policy that is gone
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.77.0.1:1"), true, nil))
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != lan {
		t.Errorf("acquire for %v", e.Policy)
	}
	if err := a.SetPolicies(nil); err != nil {
		t.Fatal(err)
	}
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	a.wantCounter(t, "out_no_policy", 1)
	a.RemoveSA(1)
	if len(a.slots) != 0 || len(a.pairs) != 0 || len(a.mtus) != 0 || a.sad.count != 0 {
		t.Errorf("left behind: slots %v, pairs %v, mtus %v, %d SPIs", a.slots, a.pairs, a.mtus, a.sad.count)
	}
}

// ChangePolicies leaves all others alone, and does to those that it names what SetPolicies would.
func TestChangePolicies(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	other := ipsec.PolicyID(2)
	toOther := ipsec.Policy{ID: other, Local: lanA(), Remote: nets("10.3.0.0/16")}
	for _, c := range []struct {
		set  []ipsec.Policy
		gone []ipsec.PolicyID
	}{
		{[]ipsec.Policy{toOther, {ID: other, Local: nil, Remote: nil}}, nil},
		{[]ipsec.Policy{toOther, toOther}, nil},
		{[]ipsec.Policy{toOther}, []ipsec.PolicyID{other}},
	} {
		if err := a.ChangePolicies(c.set, c.gone); err == nil || a.spd.Load().Len() != 1 {
			t.Errorf("set %v, gone %v: no error, or the SPD has changed", c.set, c.gone)
		}
	}
	before := a.slots[lan]
	change := func(set []ipsec.Policy, gone ...ipsec.PolicyID) {
		t.Helper()
		if err := a.ChangePolicies(set, gone); err != nil {
			t.Fatal(err)
		}
	}
	change([]ipsec.Policy{toOther})
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.3.0.1:1"), true, nil))
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != other {
		t.Errorf("acquire for %v", e.Policy)
	}
	toOther.Remote = nets("10.4.0.0/16")
	change([]ipsec.Policy{toOther})
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.3.0.1:1"), true, nil))
	a.wantCounter(t, "out_no_policy", 1)
	change(nil, other, ipsec.PolicyID(99))
	a.wantCounter(t, "out_no_sa", 1) // the kept packet of the policy that is gone
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	if a.slots[lan] != before || len(a.slots) != 1 || a.spd.Load().Len() != 1 {
		t.Errorf("left: slots %v, %d policies", a.slots, a.spd.Load().Len())
	}
}

// A peer has a thousand parties. A packet to one goes to its policy, although that of the peer
// itself covers all of them; a packet to nobody finds the peer's, which has no SA.
func TestThousandParties(t *testing.T) {
	const n = 1000
	p := newGateway(t, 1, nil)
	to := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}) }
	all := ipsec.Policy{ID: n + 1, Fallback: true, Local: everything(), Remote: nets("10.2.0.0/16", "10.2.0.7/32")}
	if err := p.ChangePolicies([]ipsec.Policy{all}, nil); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		party := ipsec.Policy{ID: ipsec.PolicyID(i + 1), Local: everything(), Remote: []selector.Selector{selector.FromAddr(to(i))}}
		if err := p.ChangePolicies([]ipsec.Policy{party}, nil); err != nil {
			t.Fatal(err)
		}
	}
	found := func(i int) ipsec.PolicyID {
		f := selector.Flow{Src: src4.Addr(), Dst: to(i), Protocol: 17}
		got, ok := p.policyFor(&f)
		if !ok {
			t.Fatalf("no policy for %v", to(i))
		}
		return got.policy
	}
	for i := range n {
		if got := found(i); got != ipsec.PolicyID(i+1) { // 7 also where the peer names the same network
			t.Fatalf("a packet to party %d has the policy %d", i, got)
		}
	}
	if got := found(n); got != all.ID {
		t.Errorf("a packet to nobody has the policy %d", got)
	}
	if err := p.ChangePolicies(nil, []ipsec.PolicyID{8}); err != nil || found(7) != all.ID || found(8) != 9 {
		t.Errorf("after one has gone: %v, policies %d and %d", err, found(7), found(8))
	}
}
