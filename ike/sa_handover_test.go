package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestRedundantSuccessorIsForgotten: after a simultaneous rekeying the successor that the peer is
// to delete is not used, and forgotten without a word if the peer does not delete it.
func TestRedundantSuccessorIsForgotten(t *testing.T) {
	for seed := uint64(1); ; seed++ {
		p := upWithLan(t, seed)
		p.left.rekey("")
		p.right.rekey("")
		req1 := p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "...")
		req2 := p.wantSend("right asks to rekey", p.right, wire.CreateChildSA, false, "...")
		p.deliver(req2)
		resp2 := p.wantSend("left answers", p.left, wire.CreateChildSA, true, "...")
		p.deliver(req1)
		resp1 := p.wantSend("right answers", p.right, wire.CreateChildSA, true, "...")
		if lowestOf(nonceOf(req1), nonceOf(resp1), nonceOf(req2), nonceOf(resp2)) < 2 {
			continue // right's stays
		}
		peer := p.left.e.peers.order[0].party
		theirs := peer.main().succ.theirs
		p.deliver(resp1)
		p.drive(5 * time.Millisecond) // the computation
		if theirs.state != saRekeyed || theirs.live.timer.Running() || peer.main() == theirs {
			t.Fatalf("the redundant successor is %v, want rekeyed", theirs.state)
		}
		p.right.kill()
		p.left.out = nil
		before := p.left.requests(wire.Informational)
		p.drive(lingerDead + time.Millisecond)
		if theirs.state != saGone && theirs.state != saDead {
			t.Errorf("after %v the redundant successor is %v", lingerDead, theirs.state)
		}
		if n := p.left.requests(wire.Informational) - before; n > 1 { // the Delete of the old one
			t.Errorf("left sends %d requests, want none about the redundant successor", n)
		}
		return
	}
}
