package ike

import (
	"fmt"
	"testing"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// TestProposalsOfPeers: a proposal is accepted from anywhere as long as a peer has it.
func TestProposalsOfPeers(t *testing.T) {
	p := newPair(t, 1, nil)
	table := &p.left.e.peers
	has := func(group wire.TransformID) bool {
		for _, q := range table.proposals {
			for _, tr := range q.Transforms {
				if tr.Type == wire.TransformKE && tr.ID == group {
					return true
				}
			}
		}
		return false
	}
	more := func(name string) Peer {
		peer := p.left.peers[0]
		peer.Name, peer.Proposals = name, []wire.Proposal{withGroup(testIKEProposal, wire.GroupECP256)}
		return peer
	}
	p.left.handle(ChangePeers{Set: []Peer{more("b"), more("c")}})
	if !has(wire.GroupX25519) || !has(wire.GroupECP256) || len(table.proposals) != 2 {
		t.Fatalf("%d proposals of three peers, want two", len(table.proposals))
	}
	p.left.handle(ChangePeers{Gone: []string{"b"}})
	if !has(wire.GroupECP256) {
		t.Error("a proposal that one of two peers still has is gone")
	}
	p.left.handle(ChangePeers{Gone: []string{"c"}})
	if has(wire.GroupECP256) || !has(wire.GroupX25519) {
		t.Error("the proposal of a peer that is gone is still accepted")
	}
}

// namedByDN returns an engine with very many peers that have distinguished names.
func namedByDN(tb testing.TB) *Engine {
	peers := crowdPeers(false, 10000)
	for i := range peers {
		peers[i].RemoteID = dnOf(tb, i)
	}
	c := newCrowd(tb)
	c.handle(c.right, SetPeers{Peers: peers})
	return c.right
}

func dnOf(tb testing.TB, n int) identity.ID {
	id, err := identity.Parse(fmt.Sprintf("CN=Site %d, O=Example", n))
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// TestPeersByDN: a distinguished name is looked up, not compared with those of all peers.
func TestPeersByDN(t *testing.T) {
	e := namedByDN(t)
	if n := len(e.peers.scanned); n != 0 {
		t.Errorf("%d peers are compared with each caller", n)
	}
	spelt, err := identity.Parse("CN=SITE  77, O=example")
	if err != nil {
		t.Fatal(err)
	}
	if list := e.peers.called(spelt, crowdRight); len(list) != 1 || list[0].cfg.Name != "peer-000077" {
		t.Errorf("%d peers have the name in another spelling, want one", len(list))
	}
	if list := e.peers.called(dnOf(t, 10000), crowdRight); len(list) != 0 {
		t.Errorf("a stranger may be %d peers", len(list))
	}
}

func BenchmarkStrangerByDN(b *testing.B) {
	e := namedByDN(b)
	id := dnOf(b, 10000)
	for b.Loop() {
		e.peers.called(id, crowdRight)
	}
}
