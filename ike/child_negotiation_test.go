package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestFirstUseOfThePeersPair: without a word of the peer on it, a pair that it asked for is sent on
// after 800 ms.
func TestFirstUseOfThePeersPair(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.scripted = true })
	p.left.connect("lan")
	p.deliver(p.wantSend("left begins", p.left, wire.IKESAInit, false, "..."))
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	p.deliver(p.wantSend("left authenticates", p.left, wire.IKEAuth, false, "..."))
	p.wantSend("right answers, which is lost", p.right, wire.IKEAuth, true, "...")
	p.drive(799 * time.Millisecond)
	if p.right.plane.senders() != 0 {
		p.fatalf("right sends too early")
	}
	p.drive(time.Millisecond)
	if p.right.plane.senders() != 1 {
		p.fatalf("right does not send after 800 ms")
	}
}

// Right rekeys the pair that left's rekeying has just made there, before left has the response.
// Left cannot know the SPI yet, and must not answer that the SA does not exist.
func TestRekeyOfUnknownPair(t *testing.T) {
	p := upWithLan(t, 1)
	a := newAttack(p)
	p.left.rekey("lan")
	p.deliver(p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr, N(REKEY_SA)"))
	p.wantSend("right answers, and that is on its way", p.right, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr")
	a.asPeer(p.left, wire.CreateChildSA, a.childRequest(&wire.Notify{Protocol: wire.ProtoESP, Kind: wire.RekeySA, SPI: []byte{1, 2, 3, 4}})...)
	p.wantSend("left cannot say", p.left, wire.CreateChildSA, true, "N(TEMPORARY_FAILURE)")
}
