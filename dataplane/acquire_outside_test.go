package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// narrowTunnel is a tunnel whose SA carries a part of its policy.
func narrowTunnel(t testing.TB, workers int) (a, b *gateway) {
	t.Helper()
	a, b = twoGateways(t, workers, nil)
	a.clock.Store(int64(1000 * time.Second))
	sa := childSA(t, a, b, 1)
	sa.RemoteTS = nets("10.2.0.0/24", "2001:db8:2::/64")
	install(t, a, b, sa)
	return a, b
}

// TestOutsideOfWhatThePeerGranted: a packet of the policy that the SA may not carry is asked for
// and then refused, at once and counted at the child. For a second nothing is asked for again.
func TestOutsideOfWhatThePeerGranted(t *testing.T) {
	out4, out6 := netip.MustParseAddrPort("10.2.1.1:5001"), netip.MustParseAddrPort("[2001:db8:2:1::1]:5001")
	for name, c := range map[string]struct {
		pkt, inside []byte
		at          int // of the error's type
		want        [2]byte
	}{
		"IPv4": {udpPacket(src4, out4, true, nil), udpPacket(src4, netip.MustParseAddrPort("10.2.0.1:5001"), true, nil), 20, [2]byte{3, 13}},
		"IPv6": {udpPacket(src6, out6, true, nil), udpPacket(src6, netip.MustParseAddrPort("[2001:db8:2::1]:5001"), true, nil), 40, [2]byte{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := narrowTunnel(t, 1)
			prohibited := func() {
				t.Helper()
				if e := a.queues[0].want(t); [2]byte(e[c.at:]) != c.want {
					t.Errorf("the sender is told %x, want %x", e, c.want)
				}
			}
			a.queues[0].inject(c.pkt)
			if e := a.wantEvent(t, ipsec.EventAcquire); e.Flow != parse(t, c.pkt).Flow {
				t.Errorf("asked for %+v", e.Flow)
			}
			a.AcquireFailed(lan)
			prohibited()
			a.queues[0].inject(c.pkt)
			prohibited()
			a.wantCounter(t, "out_not_granted", 2)
			a.wantNoEvent(t)
			if st, _ := a.PolicyStats(lan); st.Drops["not_granted"] != 2 || a.Counters()["out_no_sa"] != 0 {
				t.Errorf("drops of the child: %v", st.Drops)
			}
			a.queues[0].inject(c.inside)
			b.queues[0].want(t)
			a.clock.Add(int64(acquireBackoff))
			a.queues[0].inject(c.pkt)
			a.wantEvent(t, ipsec.EventAcquire)
		})
	}
}

// TestOutsideIsLimited: errors about packets outside are limited as all others are.
func TestOutsideIsLimited(t *testing.T) {
	a, _ := narrowTunnel(t, 1)
	a.AcquireFailed(lan)
	pkt := udpPacket(src4, netip.MustParseAddrPort("10.2.1.1:5001"), true, nil)
	for range 3 * icmpPerSecond {
		a.queues[0].inject(pkt)
	}
	a.wantCounter(t, "out_not_granted", 3*icmpPerSecond)
	a.wantCounter(t, "icmp_sent", icmpPerSecond)
}

// TestOutsideIsNotTheEnd: a packet that an SA may carry by its selectors, and cannot because the SA
// is at its end, is not one that the peer refused. Nor is one for which there is no room.
func TestOutsideIsNotTheEnd(t *testing.T) {
	a, _ := narrowTunnel(t, 1)
	outside := udpPacket(src4, netip.MustParseAddrPort("10.2.1.1:5001"), true, nil)
	for range acquirePackets + 1 {
		a.queues[0].inject(outside)
	}
	a.wantCounter(t, "out_no_sa", 1)
	a.AcquireFailed(lan)
	a.wantCounter(t, "out_not_granted", acquirePackets)
	a.pairByID(1).spent.Store(true)
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.2.0.1:5001"), true, nil))
	a.wantCounter(t, "out_no_sa", 2)
	if n := a.Counters()["out_not_granted"]; n != acquirePackets {
		t.Errorf("%d packets are counted as not granted", n)
	}
}

// TestOutsideOfWorkers: what an SA of a single worker carries is not outside, on any worker.
func TestOutsideOfWorkers(t *testing.T) {
	a, b := narrowTunnel(t, 2)
	sa := childSA(t, a, b, 2)
	sa.Resource, sa.PerResource, sa.RemoteTS = 2, true, nets("10.2.2.0/24")
	install(t, a, b, sa)
	s := a.slots[lan]
	for addr, want := range map[string]*pair{"10.2.0.1": nil, "10.2.2.1": nil, "10.2.1.1": a.pairByID(1)} {
		f := parse(t, udpPacket(src4, netip.AddrPortFrom(netip.MustParseAddr(addr), 1), true, nil)).Flow
		if got := s.outside(&f); got != want {
			t.Errorf("%s is counted at %v, want %v", addr, got, want)
		}
	}
	a.RemoveSA(1)
	a.RemoveSA(2)
	f := parse(t, udpPacket(src4, dst4, true, nil)).Flow
	if got := s.outside(&f); got != nil {
		t.Errorf("without an SA a packet is counted at %v", got)
	}
}
