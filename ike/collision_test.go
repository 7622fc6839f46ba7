package ike

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"culvert/ike/wire"
)

// Requests that cross on the wire. The scenarios are those of RFC 7296, Sections 2.8.1, 2.8.2 and
// 2.25, first as dialogues, then every pair of requests in many orders of delivery.

// twoChildren is a pair with a second child that is not brought up by itself.
func twoChildren(p *testPair) {
	for _, s := range []*testSide{p.left, p.right} {
		peer := &s.peers[0]
		peer.Children = append(peer.Children, testChild(s, "two", 1))
		peer.Children[1].Start = StartNever
		peer.DPD = 0
	}
}

// upWithLan brings only the first child up.
func upWithLan(t *testing.T, seed uint64) *testPair {
	p := newPair(t, seed, twoChildren)
	ref := p.left.connect("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantChild(p.left, "lan")
	p.wantChild(p.right, "lan")
	p.left.traffic("lan")
	p.right.traffic("lan")
	p.drive(time.Second)
	p.script(true)
	return p
}

// settleCollision lets everything complete, and checks that both sides agree, at rest and without
// loss.
func (p *testPair) settleCollision() {
	p.t.Helper()
	p.script(false)
	for _, s := range []*testSide{p.left, p.right} {
		for _, m := range s.out {
			p.arrive(m.pk)
		}
		s.out = nil
	}
	for range 60 {
		for _, s := range []*testSide{p.left, p.right} {
			if s.plane.sender(s.policy("lan"), 1) != nil {
				s.traffic("lan")
			}
		}
		p.drive(time.Second)
	}
	p.wantAgreement()
}

// wantAgreement checks that whatever is up is up on both sides, once.
func (p *testPair) wantAgreement() {
	p.t.Helper()
	p.wantSound()
	for _, c := range p.left.peers[0].Children {
		l, r := p.left.plane.ofPolicy(p.left.policy(c.Name)), p.right.plane.ofPolicy(p.right.policy(c.Name))
		if len(l)+len(r) > 0 {
			p.wantChild(p.left, c.Name)
			p.wantChild(p.right, c.Name)
		}
	}
	for _, s := range []*testSide{p.left, p.right} {
		if n := len(s.plane.allocated); n > 0 {
			p.fatalf("%s holds %d SPIs", s.name, n)
		}
		if n := len(s.e.peers.order[0].party.sas); n > 1 {
			p.fatalf("%s has %d IKE SAs", s.name, n)
		}
	}
}

func nonceOf(m *testMessage) []byte { return firstOf[*wire.Nonce](m.payloads).Data }

func spiOf(m *testMessage) string { return fmt.Sprintf("%x", proposalOf(m.payloads).SPI) }

// The SA with the lowest of the four nonces is closed by its creator, and the creator of the other
// one deletes the old SA (Section 2.8.1): for each of the four nonces.
func TestSimultaneousChildRekey(t *testing.T) {
	lowest := map[int]int{}
	for seed := uint64(1); seed <= 40; seed++ {
		p := upWithLan(t, seed)
		refs := []uint64{p.left.rekey("lan"), p.right.rekey("lan")}
		req1 := p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr, N(REKEY_SA)")
		req2 := p.wantSend("right asks to rekey", p.right, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr, N(REKEY_SA)")
		p.deliver(req2)
		resp2 := p.wantSend("left answers as usual", p.left, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr")
		p.deliver(req1)
		resp1 := p.wantSend("right answers as usual", p.right, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr")
		p.deliver(resp1)
		p.deliver(resp2)

		which := lowestOf(nonceOf(req1), nonceOf(resp1), nonceOf(req2), nonceOf(resp2))
		lowest[which]++
		survivor, loser := req1, req2 // the SAs of left's and of right's exchange
		if which < 2 {
			survivor, loser = req2, req1
		}
		var deletes []*testMessage
		for _, s := range []*testSide{p.left, p.right} {
			del := p.wantSend("both delete one", s, wire.Informational, false, "D(ESP x1)")
			spi := fmt.Sprintf("%x", firstOf[*wire.Delete](del.payloads).SPIs[0])
			if isLoser := spi == spiOf(loser); isLoser != (s == loser.from) {
				p.fatalf("%s deletes %s; the redundant SA is %s's %s", s.name, spi, loser.from.name, spiOf(loser))
			}
			deletes = append(deletes, del)
		}
		for _, del := range deletes {
			p.deliver(del)
		}
		p.settleCollision()
		p.wantNoLoss()
		if got := fmt.Sprintf("%08x", p.inboundSPI(survivor.from)); got != spiOf(survivor) {
			p.fatalf("%s receives on %s, want %s", survivor.from.name, got, spiOf(survivor))
		}
		for i, s := range []*testSide{p.left, p.right} {
			p.wantDone(s, refs[i], "")
		}
	}
	if len(lowest) != 4 {
		t.Errorf("not every nonce was the lowest once: %v", lowest)
	}
}

// inboundSPI is the SPI that a side receives on.
func (p *testPair) inboundSPI(s *testSide) uint32 {
	return s.plane.ofPolicy(s.policy("lan"))[0].sa.SPIIn
}

func lowestOf(nonces ...[]byte) int {
	low := 0
	for i, n := range nonces {
		if bytes.Compare(n, nonces[low]) < 0 {
			low = i
		}
	}
	return low
}

// The second sequence of Section 2.8.1: left's request arrives after right has rekeyed and deleted.
// Right's error is not fatal, and left ignores it.
func TestChildRekeyOvertaken(t *testing.T) {
	p := upWithLan(t, 1)
	p.left.rekey("lan")
	p.right.rekey("lan")
	req1 := p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr, N(REKEY_SA)")
	req2 := p.wantSend("right asks to rekey", p.right, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr, N(REKEY_SA)")
	p.deliver(req2)
	p.deliver(p.wantSend("left answers as usual", p.left, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr"))
	p.deliver(p.wantSend("right deletes the old SA", p.right, wire.Informational, false, "D(ESP x1)"))
	p.deliver(p.wantSend("left answers as usual", p.left, wire.Informational, true, "D(ESP x1)"))
	p.deliver(req1)
	p.deliver(p.wantSend("right knows nothing of the SA", p.right, wire.CreateChildSA, true, "N(CHILD_SA_NOT_FOUND)"))
	p.wantIdle("left forgets its rekeying")
	p.settleCollision()
	p.wantNoLoss()
	p.wantChild(p.left, "lan")
}

// collisionOps is what a side may ask for.
var collisionOps = []struct {
	name string
	do   func(s *testSide)
	// downLan says that "lan" must be down afterwards; downAll that all must be.
	downLan, downAll bool
}{
	{"rekeys the child", func(s *testSide) { s.rekey("lan") }, false, false},
	{"deletes the child", func(s *testSide) { s.disconnect("lan") }, true, false},
	{"creates a child", func(s *testSide) { s.connect("two") }, false, false},
	{"rekeys the IKE SA", func(s *testSide) { s.rekey("") }, false, false},
	{"deletes the IKE SA", func(s *testSide) { s.disconnect("") }, true, true},
}

// Every pair of requests, in random orders of delivery, some messages lost.
func TestCollisions(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 5
	}
	for i, left := range collisionOps {
		for j, right := range collisionOps {
			t.Run("left "+left.name+", right "+right.name, func(t *testing.T) {
				for seed := uint64(1); seed <= seeds; seed++ {
					p := upWithLan(t, seed)
					left.do(p.left)
					right.do(p.right)
					p.shuffle(rand.New(seededRand(seed*100+uint64(i*10+j), "shuffle")))
					p.settleCollision()
					if left.downLan || right.downLan {
						p.wantNoChild("lan")
					} else {
						p.wantChild(p.left, "lan")
						p.wantNoLoss()
					}
					if left.downAll && right.downAll && len(p.left.e.peers.order[0].party.sas) > 0 {
						p.fatalf("the IKE SA is still there")
					}
				}
			})
		}
	}
}

// shuffle delivers messages in a random order for a while. One in ten is lost, and is
// retransmitted.
func (p *testPair) shuffle(r *rand.Rand) {
	for range 40 {
		p.drive(time.Duration(r.IntN(50)) * time.Millisecond)
		s := p.left
		if r.IntN(2) == 0 {
			s = p.right
		}
		if len(s.out) == 0 {
			continue
		}
		i := r.IntN(len(s.out))
		m := s.out[i]
		s.out = append(s.out[:i], s.out[i+1:]...)
		if r.IntN(10) > 0 {
			p.deliver(m)
		}
	}
}
