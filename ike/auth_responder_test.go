package ike

import (
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// Patterns in remote_id, and the choice between several peers that an initiator may be.
func TestResponderChoosesPeer(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		any, exact := p.right.peers[0], p.right.peers[0]
		any.Name, any.RemoteID, any.Remote = "any", identity.ID{Type: wire.IDFQDN, Data: "*.example.com"}, nil
		exact.Name, exact.Remote = "left", nil
		stranger := any
		stranger.Name, stranger.RemoteID = "stranger", identity.ID{Type: wire.IDFQDN, Data: "stranger.example.net"}
		p.right.peers = []Peer{stranger, any, exact}
	})
	ref := p.left.connect("")
	p.drive(10 * time.Second)
	p.wantDone(p.left, ref, "")
	for _, st := range p.right.e.Status() {
		want := map[string]PeerState{"left": PeerEstablished}[st.Name]
		if st.State != want {
			t.Errorf("right's peer %s is in state %d, want %d", st.Name, st.State, want)
		}
	}
}

// The number of candidates that are tried is bounded, however many are configured.
func TestCandidatesAreBounded(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		var list []Peer
		for i := range MaxCandidates + 1 {
			peer := p.right.peers[0]
			peer.Name, peer.Credential = "candidate"+string(rune('a'+i)), PSK("another key")
			if i == MaxCandidates {
				peer.Credential = PSK(testPSK())
			}
			list = append(list, peer)
		}
		p.right.peers = list
	})
	p.left.connect("")
	p.drive(5 * time.Second)
	p.wantNoChild("lan")
}

// A peer with a valid secret may connect any number of times, but keeps only the newest few of its
// IKE SAs, whatever the spelling of its identity.
func TestTooManyRedundantSAs(t *testing.T) {
	p := newPair(t, 3, nil)
	e := p.right.e
	e.handling = handling{now: p.now, fx: &Effects{}}
	peer := e.peers.order[0].party
	var newest *ikeSA
	for n := range 200 {
		s, err := e.newSA(false, saHalfOpen)
		if err != nil {
			t.Fatal(err)
		}
		s.established(peer, spelling(peer.cfg.RemoteID, n))
		s.party.notTooMany(s)
		newest = s
	}
	if len(peer.sas) != maxRedundant || peer.main() != newest {
		t.Errorf("%d IKE SAs, the newest is %v", len(peer.sas), newest.state)
	}
}

// After kill -9 the restarted side's INITIAL_CONTACT replaces the other side's old IKE SA at once.
func TestInitialContact(t *testing.T) {
	for seed := range uint64(8) {
		p := newPair(t, seed/2, nil)
		p.up()
		s := p.right
		if seed%2 == 0 {
			s = p.left
		}
		s.kill()
		p.drive(time.Second)
		s.start()
		ref := s.connect("")
		p.drive(2 * time.Second)
		p.wantDone(s, ref, "")
		s.traffic("lan")
		p.drive(time.Second)
		p.wantTunnel()
		p.drive(lingerDead + time.Second)
		if n := len(s.other().e.sas.bySPI); n != 1 {
			p.fatalf("%s has %d IKE SAs", s.other().name, n)
		}
	}
}
