package ike

import (
	"testing"

	"culvert/ike/wire"
)

// Section 2.8.2: as with Child SAs, and the surviving IKE SA inherits all of them.
func TestSimultaneousIKERekey(t *testing.T) {
	lowest := map[int]int{}
	for seed := uint64(1); seed <= 40; seed++ {
		p := upWithLan(t, seed)
		p.left.rekey("")
		p.right.rekey("")
		req1 := p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)")
		req2 := p.wantSend("right asks to rekey", p.right, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)")
		p.deliver(req2)
		resp2 := p.wantSend("left answers as usual", p.left, wire.CreateChildSA, true, "SA, Nonce, KE(x25519)")
		p.deliver(req1)
		resp1 := p.wantSend("right answers as usual", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(x25519)")
		p.deliver(resp1)
		p.deliver(resp2)
		which := lowestOf(nonceOf(req1), nonceOf(resp1), nonceOf(req2), nonceOf(resp2))
		lowest[which]++
		survivor := req1
		if which < 2 {
			survivor = req2
		}
		p.settleCollision()
		p.wantNoLoss()
		p.wantChild(p.left, "lan")
		for _, s := range []*testSide{p.left, p.right} {
			main := s.e.peers.order[0].party.main()
			if main == nil || main.spi.I.String() != spiOf(survivor) {
				p.fatalf("%s does not keep the IKE SA %s", s.name, spiOf(survivor))
			}
		}
	}
	if len(lowest) != 4 {
		t.Errorf("not every nonce was the lowest once: %v", lowest)
	}
}

// Section 2.8.2: right does not notice that left rekeys as well. Left gets TEMPORARY_FAILURE or, as
// here, the Delete of the old IKE SA, and drops its own rekeying.
func TestIKERekeyOvertaken(t *testing.T) {
	p := upWithLan(t, 1)
	p.left.rekey("")
	p.right.rekey("")
	p.wantSend("left asks to rekey, which is lost", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)")
	p.deliver(p.wantSend("right asks to rekey", p.right, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)"))
	p.deliver(p.wantSend("left answers as usual", p.left, wire.CreateChildSA, true, "SA, Nonce, KE(x25519)"))
	p.deliver(p.wantSend("right deletes the old SA", p.right, wire.Informational, false, "D(IKE)"))
	p.deliver(p.wantSend("left answers as usual", p.left, wire.Informational, true, ""))
	p.wantIdle("left forgets its rekeying")
	p.settleCollision()
	p.wantChild(p.left, "lan")
}
