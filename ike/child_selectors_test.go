package ike

import (
	"testing"
	"time"

	"culvert/selector"
)

// RFC 7296, Section 2.9: the packet's selectors come first, and the responder narrows to what both
// sides allow.
func TestTriggerAndNarrowing(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Remote = testNetworks("10.0.0.0/8")
		p.right.peers[0].Children[0].Local = testNetworks("10.2.0.0/16")
	})
	flow := selector.Flow{Src: testNetworks("10.1.0.7/32")[0].Start, Dst: testNetworks("10.2.3.4/32")[0].Start, Protocol: 6, SrcPort: 40000, DstPort: 443}
	p.left.handle(Acquire{Policy: p.left.policy("lan"), Flow: flow})
	p.drive(2 * time.Second)
	p.wantTunnel()
	sa := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa
	if want := testNetworks("10.2.0.0/16"); !selector.Equal(sa.RemoteTS, want) {
		t.Errorf("remote selectors are %v, want %v", sa.RemoteTS, want)
	}
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	p.wantTunnel()
	again := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa
	if !selector.Equal(again.RemoteTS, sa.RemoteTS) || again.SPIIn == sa.SPIIn {
		t.Errorf("after the rekeying the selectors are %v, want %v on another SPI", again.RemoteTS, sa.RemoteTS)
	}
}
