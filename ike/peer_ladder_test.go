package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestRecoveryLadder has one wanted policy fail in ever more ways, and walks what is done about it
// in order: the exchange again, another path, a new IKE SA beside the old one, the next peer, and
// pauses that grow. Each is tried only where the one before does not help, and the way back loses
// nothing.
func TestRecoveryLadder(t *testing.T) {
	second := netip.MustParseAddr("192.0.2.3") // of the preferred peer
	g := newGroup(t, 2, func(g *testGroup) {
		right := g.gateways[0]
		right.addrs = append(right.addrs, second)
		right.peers[0].Local = netip.Addr{}
		g.left.peers[0].Remote = append(g.left.peers[0].Remote, second)
		for i := range g.left.peers {
			g.left.peers[i].Local = netip.Addr{}
			g.left.peers[i].Reconnect.First, g.left.peers[i].Reconnect.Max = 2*time.Second, 16*time.Second
		}
	})
	preferred, spare := g.gateways[0], g.gateways[1]
	of := func() *party { return g.left.e.peers.byName["right"].party }
	g.wantFlow(5 * time.Second)
	first := of().main()

	// The exchange again: a request is lost once.
	lose := 1
	g.drop(preferred, func(pk *testPacket) bool {
		if lost := lose > 0 && pk.from == g.left && pk.msg != nil; lost {
			lose--
			return true
		}
		return false
	})
	repeated := g.left.e.Counters()["ike_retransmitted"]
	ref := g.left.rekey("lan")
	g.wantFlow(5 * time.Second)
	g.wantDone(g.left, ref, "")
	if n := g.left.e.Counters()["ike_retransmitted"]; n != repeated+1 {
		g.fatalf("%d requests were repeated", n-repeated)
	}
	g.wantRung("after a repetition", first, preferred, 2)

	// Another path: our address is gone, and there is another one.
	g.left.addrs[0] = netip.MustParseAddr("192.0.2.111")
	g.left.handle(AddressesChanged{})
	g.drive(time.Second)
	g.wantFlow(5 * time.Second)
	if from := of().main().net.Local().Addr(); from != g.left.addrs[0] {
		g.fatalf("packets are sent from %v", from)
	}
	g.wantRung("from another address", first, preferred, 2)

	// A new IKE SA beside the old one, at the peer's other address, since the first one is dead.
	// Packets go through the next peer meanwhile.
	g.drop(preferred, func(pk *testPacket) bool { return pk.src.Addr() != second && pk.dst.Addr() != second })
	g.quiet()
	beside := false
	g.after = func(s *testSide) {
		if p := of(); s == g.left && len(p.sas) > 1 && p.sas[0] == first && p.main() != first {
			beside = true
		}
	}
	g.flow(30 * time.Second)
	g.after = nil
	if g.gap > 2100*time.Millisecond {
		g.fatalf("no answer for %v", g.gap)
	}
	anew := of().main()
	if anew == nil || anew == first || anew.net.Remote().Addr() != second || !beside {
		g.fatalf("the new IKE SA is %v, made beside the old one: %t", anew, beside)
	}
	g.wantFlow(20 * time.Second)
	g.wantRung("on a new IKE SA", anew, preferred, 4)

	// The next peer, since the preferred one is dead at all its addresses.
	preferred.kill()
	g.quiet()
	g.flow(time.Minute)
	if g.gap > 2100*time.Millisecond {
		g.fatalf("no answer for %v", g.gap)
	}
	g.wantActive(spare)
	g.wantFlow(time.Minute)

	// Pauses that grow, since no peer is left; then what comes back is found.
	spare.kill()
	g.wantPauses(spare.name, 10*time.Minute, 2*time.Second, 4*time.Second, 8*time.Second, 16*time.Second, 16*time.Second)
	if n := g.left.plane.senders(); n > 0 {
		g.fatalf("%d policies have an SA", n)
	}
	spare.start()
	g.waitFor(time.Minute, func() bool { g.flow(time.Second); return g.active() == spare })
	g.wantFlow(10 * time.Second)
	preferred.start()
	g.wantFlow(2 * time.Minute)
	g.wantActive(preferred)
}

// wantRung checks that a peer's IKE SA is one that was there, and how many were begun with all
// peers.
func (g *testGroup) wantRung(what string, s *ikeSA, peer *testSide, begun int) {
	g.t.Helper()
	if now := g.left.e.peers.byName[peer.name].party.main(); now != s {
		g.fatalf("%s: another IKE SA", what)
	}
	if n := g.left.requests(wire.IKESAInit); n != begun {
		g.fatalf("%s: %d IKE SAs were begun, want %d", what, n, begun)
	}
	g.wantActive(peer)
}

// wantPauses checks the pauses between the tries to connect to a peer, of which a tenth is random.
func (g *testGroup) wantPauses(peer string, within time.Duration, want ...time.Duration) {
	g.t.Helper()
	var last time.Time
	var pauses []time.Duration
	for end := g.now.Add(within); g.now.Before(end) && len(pauses) < len(want); g.flow(everyPacket) {
		if at := g.left.e.peers.byName[peer].party.try.At; at.After(g.now) && !at.Equal(last) {
			pauses, last = append(pauses, at.Sub(g.now)), at
		}
	}
	for i, p := range pauses {
		if p < want[i]-everyPacket || p > want[i]+want[i]/10 {
			g.fatalf("the pauses are %v, want %v", pauses, want)
		}
	}
	if len(pauses) < len(want) {
		g.fatalf("the pauses are %v, want %v", pauses, want)
	}
}
