package ike

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// resolved is the peer's name standing for other addresses.
func (s *testSide) resolved(addrs ...netip.Addr) {
	s.peers[0].Remote = addrs
	s.handle(ChangePeers{Set: slices.Clone(s.peers)})
}

// Another IKE daemon answers where the peer was: whatever it says, the name is looked up again,
// and the next try goes to the new address at once.
func TestEveryFailureLooksTheNameUp(t *testing.T) {
	for name, differ := range map[string]func(right *Peer){
		"AUTHENTICATION_FAILED":       func(right *Peer) { right.PSK = []byte("another secret, of another peer") },
		"NO_PROPOSAL_CHOSEN":          func(right *Peer) { right.Proposals = []wire.Proposal{withGroup(testIKEProposal, wire.GroupECP384)} },
		"the peer has the wrong name": func(right *Peer) { right.LocalID = identity.ID{Type: wire.IDFQDN, Data: "somebody.example.com"} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].Children[0].Start = StartBoot
				differ(&p.right.peers[0])
			})
			p.drive(5 * time.Second) // an unprotected refusal is not believed at once
			if n := len(p.left.resolves); n == 0 || p.left.resolves[0] != "right" {
				p.fatalf("no look-up after the first failure: %s", p.left.e.Status()[0].Reason)
			}
			p.drive(time.Minute)
			failures := 0
			for _, n := range p.left.notices {
				if n.Event == "connect-failed" {
					failures++
				}
			}
			if n := len(p.left.resolves); n != failures || n < 3 {
				p.fatalf("%d look-ups for %d failures", n, failures)
			}
			p.right.addrs[0] = netip.MustParseAddr("192.0.2.3")
			fresh := newPair(t, 1, nil)
			p.right.peers[0] = fresh.right.peers[0]
			p.right.peers[0].Local = p.right.addrs[0]
			p.right.handle(SetPeers{Peers: slices.Clone(p.right.peers)})
			p.left.resolved(p.right.addrs[0])
			p.drive(time.Second)
			if st := p.left.e.Status()[0]; st.State != PeerEstablished || st.Remote.Addr() != p.right.addrs[0] {
				p.fatalf("a second after the name moved: %v with %v: %s", st.State, st.Remote, st.Reason)
			}
		})
	}
}

// A name that stands for another address at each look-up, with a refusal at each, makes no more
// tries than the back-off and hastenPause allow.
func TestRestlessNameIsNotTriedWithoutPause(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.right.peers[0].PSK, p.right.peers[0].Local = []byte("another secret, of another peer"), netip.Addr{}
	})
	answered := 0
	const minutes = 10
	for range minutes * 60 * 10 {
		p.drive(100 * time.Millisecond)
		if answered < len(p.left.resolves) {
			answered = len(p.left.resolves)
			next := p.right.addrs[0].Next()
			p.right.addrs[0] = next
			p.left.resolved(next)
		}
	}
	if n := p.left.sentRequests[wire.IKESAInit]; n < minutes || n > minutes*(6+1)+6 {
		p.fatalf("%d tries in %d minutes", n, minutes)
	}
}

// The same addresses in another order are not a change.
func TestRotatedAddressesDoNotHasten(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.left.peers[0].Remote = append(p.left.peers[0].Remote, p.right.addrs[0].Next())
		p.right.peers[0].PSK = []byte("another secret, of another peer")
	})
	p.drive(time.Second)
	tries := p.left.sentRequests[wire.IKESAInit]
	was := p.left.peers[0].Remote
	p.left.resolved(was[1], was[0])
	p.drive(500 * time.Millisecond)
	if n := p.left.sentRequests[wire.IKESAInit]; n != tries || tries == 0 {
		p.fatalf("%d tries before, %d after", tries, n)
	}
}

// A peer dies at an address to which it was followed, and starts again there. Its name is looked up
// when it has not answered a few times, and the attempt to connect to the address that the name had
// before is given up.
func TestNameOfTheDead(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.right.peers[0].Local = netip.Addr{}
	})
	p.up()
	p.right.addrs[0] = netip.MustParseAddr("192.0.2.3")
	p.right.handle(AddressesChanged{})
	p.drive(time.Second)
	p.wantTunnel()
	p.right.kill()
	p.right.start()
	p.left.resolves = nil
	died := p.waitFor(10*time.Second, func() bool { // all repetitions take 76 s
		p.left.traffic("lan")
		return len(p.left.resolves) > 0
	})
	p.drive(2 * time.Second) // connecting to where nobody is
	p.left.resolved(p.right.addrs[0])
	p.drive(time.Second)
	if st := p.left.e.Status()[0]; st.State != PeerEstablished || st.Remote.Addr() != p.right.addrs[0] {
		p.fatalf("%v after the peer died: %v with %v: %s", died, st.State, st.Remote, st.Reason)
	}
}

// The peer leaves its address between its answer to IKE_SA_INIT and IKE_AUTH. Once the name stands
// for the new address, IKE_AUTH is not repeated at the old one until it fails: whether the news
// comes before the first repetition or after it.
func TestPeerLeavesBeforeAuth(t *testing.T) {
	for name, news := range map[string]time.Duration{"before a repetition": 500 * time.Millisecond, "after one": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].Children[0].Start = StartBoot
				p.right.peers[0].Local = netip.Addr{}
			})
			p.drive(15 * time.Millisecond) // the response to IKE_SA_INIT is under way
			p.right.addrs[0] = netip.MustParseAddr("192.0.2.3")
			p.drive(news)
			p.left.resolved(p.right.addrs[0])
			p.drive(1500 * time.Millisecond)
			p.wantTunnel()
			if n := p.left.sentRequests[wire.IKESAInit]; n != 2 {
				p.fatalf("%d requests of IKE_SA_INIT, want one to each address", n)
			}
		})
	}
}

// A name that stands for another address by now does not end an attempt that is being answered.
func TestAttemptThatIsAnsweredGoesOn(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
	})
	p.drive(25 * time.Millisecond) // IKE_AUTH is under way
	p.left.resolved(netip.MustParseAddr("192.0.2.3"))
	p.drive(time.Second)
	p.wantTunnel()
	if n := p.left.sentRequests[wire.IKESAInit]; n != 1 {
		p.fatalf("%d requests of IKE_SA_INIT", n)
	}
}
