package ike

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// A peer without an address here waits, and says so; it is up when the other side calls.
func TestAnswersOnly(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.right.peers[0].Remote = nil
		p.right.peers[0].Children[0].Start = StartBoot
	})
	p.drive(time.Minute)
	if st := p.right.e.Status()[0]; !strings.Contains(st.Reason, "waiting for the peer to connect") {
		t.Errorf("reason %q", st.Reason)
	}
	p.up()
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
}

// TestNewAddressesAreAllTried: a round of tries goes once through the addresses that the peer has
// now.
func TestNewAddressesAreAllTried(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.link = func(*testPacket) []time.Duration { return nil } })
	p.left.resolved(netip.MustParseAddr("192.0.2.8"), netip.MustParseAddr("192.0.2.9"))
	ref := p.left.connect("lan")
	for range 600 {
		if p.drive(time.Second); p.left.answered[ref] {
			break
		}
	}
	p.wantDone(p.left, ref, "no answer to IKE_SA_INIT")
	if n := p.left.sentRequests[wire.IKESAInit]; n != 2 {
		t.Errorf("%d tries before the command is answered, want one at each of two addresses", n)
	}
}
