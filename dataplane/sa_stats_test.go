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
