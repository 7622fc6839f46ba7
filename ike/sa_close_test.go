package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// A pair that lingers after a rekeying is not sent on when its successor is deleted: the peer would
// not know the SPI.
func TestDownRightAfterRekey(t *testing.T) {
	for _, child := range []string{"", "lan"} {
		p := newPair(t, 1, nil)
		p.up()
		ref := p.left.rekey("lan")
		p.drive(time.Second)
		p.wantDone(p.left, ref, "")
		if n := len(p.left.plane.ofPolicy(p.left.policy("lan"))); n != 2 {
			t.Fatalf("%d pairs after the rekeying, want the new one and the one that lingers", n)
		}
		ref = p.left.disconnect(child)
		p.drive(time.Second)
		p.wantDone(p.left, ref, "")
		for _, s := range []*testSide{p.left, p.right} {
			if n := len(s.plane.ofPolicy(s.policy("lan"))); n != 0 {
				t.Errorf("down %q: %s has %d pairs, want none", child, s.name, n)
			}
		}
		p.left.traffic("lan")
		p.drive(time.Second)
		p.wantTunnel()
	}
}

// An attempt that is withdrawn during IKE_AUTH: the peer may have the IKE SA by then, and gets a
// Delete once its response arrives.
func TestWithdrawnWhileAuthenticating(t *testing.T) {
	for _, refused := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			if refused {
				p.right.peers[0].PSK = []byte("wrong")
			}
		})
		p.script(true)
		up := p.left.connect("")
		p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
		p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
		auth := p.wantSend("left proves itself", p.left, wire.IKEAuth, false, "...")
		down := p.left.disconnect("")
		p.deliver(auth)
		p.deliver(p.wantSend("right answers", p.right, wire.IKEAuth, true, "..."))
		if !refused {
			p.deliver(p.wantSend("left deletes it", p.left, wire.Informational, false, "D(IKE)"))
			p.deliver(p.wantSend("right does, too", p.right, wire.Informational, true, ""))
		}
		p.wantIdle("that is all")
		p.wantDone(p.left, up, "taken down")
		p.wantDone(p.left, down, "")
		p.drive(2 * time.Minute)
		for _, s := range []*testSide{p.left, p.right} {
			if left := s.leftovers(); left != "" {
				p.fatalf("%s", left)
			}
		}
	}
}
