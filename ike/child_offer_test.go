package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestWishIsRemembered counts the messages of rekeyings with a peer that wants another key exchange
// than we offer first, or none: only the first one takes a correction, also across IKE SAs.
func TestWishIsRemembered(t *testing.T) {
	with, without := addGroup(testESPProposal, wire.GroupECP256), testESPProposal
	for _, c := range []struct {
		name  string
		right wire.Proposal
		want  []int // CREATE_CHILD_SA requests of left after each rekeying
		group wire.TransformID
	}{
		{"another group", withGroup(testESPProposal, wire.GroupECP256), []int{2, 3, 4}, wire.GroupECP256},
		{"none", without, []int{1, 2, 3}, wire.GroupNone},
		{"our first", withGroup(testESPProposal, wire.GroupX25519), []int{1, 2, 3}, wire.GroupX25519},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].Children[0].Proposals = []wire.Proposal{with, without}
				p.right.peers[0].Children[0].Proposals = []wire.Proposal{c.right}
			})
			p.up()
			for i, want := range c.want {
				ref := p.left.rekey("lan")
				p.drive(5 * time.Second)
				p.wantDone(p.left, ref, "")
				if n := p.left.requests(wire.CreateChildSA); n != want {
					t.Errorf("rekeying %d: %d requests so far, want %d", i+1, n, want)
				}
			}
			l := p.left.e.peers.order[0].party
			if got := firstGroup(l.policies[0], preferred(l.policies[0])); got != c.group {
				t.Errorf("the next rekeying begins with %v, want %v", wire.GroupName(got), wire.GroupName(c.group))
			}
			p.drive(10 * time.Second)
			p.wantTunnel()
		})
	}
}
