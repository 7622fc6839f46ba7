package ike

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// A table of peers that was changed step by step finds what one finds that was made at once.
func TestPeerTableChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	e := New(Config{Rand: seededRand(1, "table")}, epoch)
	random := func() Peer {
		p := crowdPeer(r.IntN(3) > 0, r.IntN(60))
		for range r.IntN(2) {
			p.Remote = append(p.Remote, netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(6))}))
		}
		switch r.IntN(4) {
		case 0:
			p.RemoteID.Data = "*.example.com"
		case 1:
			p.RemoteID.Data = fmt.Sprintf("shared-%d.example.com", r.IntN(3))
		}
		for range r.IntN(3) {
			p.Proposals = append(p.Proposals, withGroup(testIKEProposal, fakeGroups[r.IntN(3)]))
		}
		return p
	}
	for step := range 600 {
		switch r.IntN(3) {
		case 0:
			e.Handle(epoch, ChangePeers{Gone: []string{random().Name}}, &Effects{})
		default:
			e.Handle(epoch, ChangePeers{Set: []Peer{random(), random()}}, &Effects{})
		}
		checkPeerTable(t, step, &e.peers)
	}
}
