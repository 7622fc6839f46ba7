package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

func TestCeilings(t *testing.T) {
	set := make(chan int, 10)
	a, b := twoGateways(t, 1, func(c *Config) {
		c.MTU = 1350
		c.SetMTU = func(mtu int) error { set <- mtu; return nil }
	})
	install(t, a, b, childSA(t, a, b, 1))
	a.wantMTU(t, 1, 1350)
	if got := <-set; got != 1350 {
		t.Errorf("TUN MTU %d", got)
	}
	a.setCeiling(t, 1290)
	a.wantMTU(t, 1, 1290)
	install(t, a, b, childSA(t, a, b, 2))
	a.wantMTU(t, 2, 1290)
	a.mu.Lock()
	outer := a.pairs[1].path.search.MTU()
	a.mu.Unlock()
	if outer < gcmFormat.OuterLen(1290, false, true) || gcmFormat.InnerMTU(outer, false, true) > 1290+3 {
		t.Errorf("a path MTU of %d is searched for an inner one of 1290", outer)
	}
	a.setCeiling(t, 1400)
	a.wantMTU(t, 1, 1350) // the daemon's is less
	a.setCeiling(t, 0)
	a.wantMTU(t, 2, 1350)
	// It reaches the MSS of what is sent and of what is received.
	a.setCeiling(t, 1300)
	mss := func(pkt []byte) int { return int(pkt[42])<<8 | int(pkt[43]) }
	a.queues[0].inject(tcpPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil))
	if got := mss(b.queues[0].want(t)); got != 1260 {
		t.Errorf("MSS of the SYN %d, want 1260", got)
	}
	b.queues[0].inject(tcpPacket(dst4, src4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil))
	if got := mss(a.queues[0].want(t)); got != 1260 {
		t.Errorf("MSS of a SYN from the peer %d, want 1260", got)
	}
}

// setCeiling limits the inner MTU of the policy lan.
func (g *gateway) setCeiling(t *testing.T, mtu int) {
	t.Helper()
	if err := g.ChangePolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB(), MTU: mtu}}, nil); err != nil {
		t.Fatal(err)
	}
}

// The MTU of a peer's own policy limits the SAs of its parties, and no others.
func TestCeilingOfParties(t *testing.T) {
	party, stranger := lan+1, lan+2
	a := newGateway(t, 1, nil)
	set := func(list ...ipsec.Policy) {
		t.Helper()
		if err := a.ChangePolicies(list, nil); err != nil {
			t.Fatal(err)
		}
	}
	office := func(mtu int) ipsec.Policy {
		return ipsec.Policy{ID: lan, Local: lanA(), Remote: lanB(), Fallback: true, MTU: mtu}
	}
	set(office(1290), ipsec.Policy{ID: stranger, Local: lanA(), Remote: lanB()})
	set(ipsec.Policy{ID: party, Local: lanA(), Remote: lanB(), Within: lan})
	for i, policy := range []ipsec.PolicyID{party, stranger} {
		sa := childSA(t, a, a, ipsec.ChildID(i+1))
		sa.Policy = policy
		if err := a.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
	}
	free := gcmFormat.InnerMTU(1500, false, true)
	a.wantMTU(t, 1, 1290)
	a.wantMTU(t, 2, free)
	set(office(1280))
	a.wantMTU(t, 1, 1280)
	a.wantMTU(t, 2, free)
	set(ipsec.Policy{ID: party, Local: lanA(), Remote: lanB()})
	a.wantMTU(t, 1, free)
	set(ipsec.Policy{ID: party, Local: lanA(), Remote: lanB(), Within: lan}, office(0))
	a.wantMTU(t, 1, free)
}

func TestTUNGetsTheLargestMTU(t *testing.T) {
	set := make(chan int, 10)
	paths := map[netip.Addr]int{outerB.Addr(): 1400, outerA.Addr(): 1500}
	a := newGateway(t, 1, func(c *Config) {
		c.LinkMTU = func(_, remote netip.Addr) int { return paths[remote] }
		c.SetMTU = func(mtu int) error { set <- mtu; return nil }
	})
	a.start(t)
	want := func(mtu int) {
		t.Helper()
		select {
		case got := <-set:
			if got != mtu {
				t.Errorf("TUN MTU %d, want %d", got, mtu)
			}
		case <-time.After(patience):
			t.Fatal("the TUN's MTU was not set")
		}
	}
	sa := childSA(t, a, a, 1)
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	want(gcmFormat.InnerMTU(1400, false, true))
	wide := childSA(t, a, a, 2)
	wide.Path = ipsec.NATPath(outerA, outerA)
	if err := a.InstallInbound(wide); err != nil {
		t.Fatal(err)
	}
	want(gcmFormat.InnerMTU(1500, false, true))
	a.RemoveSA(2)
	want(gcmFormat.InnerMTU(1400, false, true))
	a.SetPath(1, ipsec.NATPath(outerA, netip.MustParseAddrPort("[2001:db8::9]:4500")))
	want(gcmFormat.InnerMTU(defaultLinkMTU, true, true)) // nothing is known of that path
}
