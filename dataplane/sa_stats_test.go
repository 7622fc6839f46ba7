package dataplane

import "testing"

// TestStatsOutliveSAs: what a policy counts stays when its last SA goes, and goes with the policy.
func TestStatsOutliveSAs(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	eventually(t, "it comes through", func() bool {
		st, _ := b.PolicyStats(sa.Policy)
		return st.PacketsIn == 1 && !st.LastIn.IsZero() && st.MTU > 0
	})
	octets := uint64(len(udpPacket(src4, dst4, true, nil)))
	b.RemoveSA(1)
	if st, ok := b.PolicyStats(sa.Policy); !ok || st.PacketsIn != 1 || st.BytesIn != octets || st.LastIn.IsZero() || st.MTU != 0 || len(st.Drops) == 0 {
		t.Errorf("without an SA: got %+v, %v", st, ok)
	}
	if err := b.SetPolicies(nil); err != nil {
		t.Fatal(err)
	}
	if st, ok := b.PolicyStats(sa.Policy); ok {
		t.Errorf("without the policy: got %+v", st)
	}
}

// PolicyCounts has what PolicyStats has, of all pairs and removed ones, and allocates nothing.
func TestPolicyCounts(t *testing.T) {
	c := newCrowd(t, 2).withPairs(t)
	policy := c.policies[1].ID
	drop := func(r reason, n uint64) { c.pairs[c.sas[1].ID].drops[r].Add(n) }
	drop(dropICV, 3)
	drop(dropReplay, 1)
	c.rekey(t, 1)
	drop(dropICV, 4)
	drop(countECNAlarm, 5)
	n, ok := c.PolicyCounts(policy)
	st, _ := c.PolicyStats(policy)
	if !ok || n.MTU == 0 || n.MTU != st.MTU || n.PacketsIn != st.PacketsIn || n.PacketsOut != st.PacketsOut || n.BytesIn != st.BytesIn || n.BytesOut != st.BytesOut {
		t.Errorf("got %+v, %t, want %+v", n, ok, st)
	}
	for i, got := range n.Drops {
		if want := st.Drops[DropName(i)]; got != want || DropName(i) == "" {
			t.Errorf("%s: %d, want %d", DropName(i), got, want)
		}
	}
	if len(st.Drops) != NumDrops || st.Drops["icv"] != 7 || st.Drops["replay"] != 1 || st.Drops["ecn_alarms"] != 5 {
		t.Errorf("got %v", st.Drops)
	}
	if _, ok := c.PolicyCounts(99); ok {
		t.Error("a policy that does not exist has counts")
	}
	if allocs := testing.AllocsPerRun(100, func() { c.PolicyCounts(policy) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
