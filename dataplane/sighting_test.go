package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// wantSighting sends a packet until it is the last one of a reason and policy. A worker that is in
// the middle of a cycle may not know of the time that has passed yet.
func (g *gateway) wantSighting(t *testing.T, reason string, policy ipsec.PolicyID, pkt []byte, before ...func()) {
	t.Helper()
	want, begun := parse(t, pkt).Flow, time.Unix(0, g.clock.Load())
	eventually(t, fmt.Sprintf("%s: a sighting of %+v", reason, want), func() bool {
		g.clock.Add(int64(sightEvery))
		for _, f := range before {
			f()
		}
		g.queues[0].inject(pkt)
		return slices.ContainsFunc(g.Sightings(), func(s Sighting) bool {
			return s.Reason == reason && (s.Drop == "" || "out_"+s.Drop == reason) && s.Policy == policy && s.Flow == want && !s.At.Before(begun)
		})
	})
}

// TestSightings: the last packet that was dropped for a reason is known with its flow, by policy.
func TestSightings(t *testing.T) {
	a, _ := narrowTunnel(t, 1)
	a.wantSighting(t, "out_no_policy", 0, udpPacket(src4, netip.MustParseAddrPort("10.99.0.1:53"), true, nil))
	a.wantSighting(t, "out_too_big", lan, udpPacket(src4, netip.MustParseAddrPort("10.2.0.1:5001"), true, make([]byte, 3000)))
	outside := udpPacket(src4, netip.MustParseAddrPort("10.2.1.1:5001"), true, nil)
	for range acquirePackets {
		a.queues[0].inject(outside)
	}
	a.wantSighting(t, "out_no_sa", lan, outside)
	a.wantSighting(t, "out_not_granted", lan, outside, func() { a.AcquireFailed(lan) })
	a.HoldPolicy(lan, true)
	a.wantSighting(t, "out_down", lan, outside)
}

// TestSightingsAreBounded: a sighting takes the place of the last one of its policy, and of many
// policies the oldest gives way. A worker records one in an interval.
func TestSightingsAreBounded(t *testing.T) {
	var s sightings
	for i := range maxSightings {
		s.add(dropNoSA, Sighting{Policy: ipsec.PolicyID(i)})
	}
	s.add(dropNoSA, Sighting{Policy: 0, Reason: "again"})
	s.add(dropNoSA, Sighting{Policy: maxSightings})
	list := s.seen[dropNoSA]
	if len(list) != maxSightings || list[0].Policy != 2 || list[maxSightings-2] != (Sighting{Policy: 0, Reason: "again"}) {
		t.Errorf("%+v", list)
	}

	th := thread{plane: &Plane{}, now: time.Unix(100, 0), nowNano: time.Unix(100, 0).UnixNano()}
	at := func(d time.Duration, port uint16) {
		th.now = th.now.Add(d)
		th.nowNano = th.now.UnixNano()
		th.sight(dropNoPolicy, 0, &selector.Flow{DstPort: port})
	}
	last := func() uint16 { return th.plane.Sightings()[0].Flow.DstPort }
	at(0, 1)
	if at(sightEvery-1, 2); last() != 1 {
		t.Errorf("recorded too soon")
	}
	if at(1, 3); last() != 3 {
		t.Errorf("not recorded after the interval")
	}
	th.sight(dropNoSA, 0, &selector.Flow{DstPort: 4})
	if n := len(th.plane.Sightings()); n != 2 {
		t.Errorf("%d sightings, want one of each reason", n)
	}
}
