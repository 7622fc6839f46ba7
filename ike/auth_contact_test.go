package ike

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// twoEntries gives the left side two peers for one gateway, with the same identities and a child
// each: two addresses of it, or two uplinks to it. The right side has two likewise, or one for
// both.
func twoEntries(p *testPair, uplinks, one bool) {
	far, near := p.right, p.left
	if uplinks {
		far, near = p.left, p.right
	}
	far.addrs = append(far.addrs, netip.MustParseAddr("192.0.2.77"))
	var lists [2][]Peer
	for i, s := range []*testSide{p.left, p.right} {
		for n, name := range []string{"lan", "two"} {
			peer := s.peers[0]
			peer.Name = []string{"first", "second"}[n]
			peer.Children = []Child{testChild(s, name, n)}
			if s == near {
				peer.Remote = []netip.Addr{far.addrs[2*n]}
			} else {
				peer.Local = far.addrs[2*n]
			}
			if s == p.left {
				peer.Children[0].Start = StartBoot
			}
			lists[i] = append(lists[i], peer)
		}
	}
	if one {
		peer := p.right.peers[0]
		peer.Name, peer.Remote, peer.Local = "first", nil, netip.Addr{}
		peer.Children = []Child{testChild(p.right, "lan", 0), testChild(p.right, "two", 1)}
		lists[1] = []Peer{peer}
	}
	p.left.peers, p.right.peers = lists[0], lists[1]
}

// established returns the numbers of established IKE SAs and of children with an SA.
func (s *testSide) established() (sas, children int) {
	for _, o := range s.e.sas.bySPI {
		if o.usable() {
			sas++
		}
	}
	return sas, s.plane.senders()
}

// Two entries for one gateway do not end each other, whenever the second starts, and whether the
// gateway has one entry for both or two. The IKE_AUTH of the first arrives late. No packet is lost.
func TestTwoEntriesForOneGateway(t *testing.T) {
	for _, uplinks := range []bool{false, true} {
		for _, one := range []bool{false, true} {
			for _, after := range []time.Duration{0, 30 * time.Millisecond, 10 * time.Second} {
				p := newPair(t, 1, func(p *testPair) {
					twoEntries(p, uplinks, one)
					p.link = func(pk *testPacket) []time.Duration {
						if pk.from == p.left && pk.msg != nil && pk.msg.hdr.Exchange == wire.IKEAuth && pk.dst.Addr() == p.right.addrs[0] && pk.src.Addr() == p.left.addrs[0] {
							return []time.Duration{100 * time.Millisecond}
						}
						return []time.Duration{5 * time.Millisecond}
					}
					if after > 0 {
						p.left.peers[1].Children[0].Start = StartTraffic
					}
				})
				p.drive(after)
				p.left.handle(Connect{Peer: "second", Ref: p.left.ref()})
				p.drive(2 * time.Second) // else packets of both sides have both connect
				for range 300 {
					p.trafficOfEntries()
					p.drive(time.Second)
				}
				p.wantNoLoss()
				for _, s := range []*testSide{p.left, p.right} {
					if sas, children := s.established(); sas != 2 || children != 2 || s.said("ike-down") > 0 {
						p.fatalf("uplinks %t, one %t, after %v: %s has %d IKE SAs and %d children, %d ended", uplinks, one, after, s.name, sas, children, s.said("ike-down"))
					}
				}
				p.wantSound()
			}
		}
	}
}

// trafficOfEntries sends a packet of each child of each peer, on both sides.
func (p *testPair) trafficOfEntries() {
	for _, s := range []*testSide{p.left, p.right} {
		for _, peer := range s.peers {
			for _, c := range peer.Children {
				s.plane.send(s.plane.policyNamed(ipsec.PolicyName{Peer: peer.Name, Child: c.Name}), 1)
			}
		}
	}
}

// said returns how often a side gave notice of an event.
func (s *testSide) said(event string) (n int) {
	for _, notice := range s.notices {
		if notice.Event == event {
			n++
		}
	}
	return n
}

// After a crash, the gateway that comes back by one of its addresses says INITIAL_CONTACT. What the
// other side has with it by its other entry is asked whether it lives, and ends soon.
func TestInitialContactOfAnotherEntry(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		twoEntries(p, false, false)
		for i := range p.right.peers {
			p.right.peers[i].DPD, p.right.peers[i].DPDAction = 0, DPDClear
		}
	})
	p.drive(10 * time.Second)
	p.left.kill()
	p.left.peers[1].Children[0].Start = StartTraffic
	p.drive(time.Second)
	p.left.start()
	asked := p.right.requests(wire.Informational)
	p.drive(5 * time.Second)
	if n := p.right.requests(wire.Informational) - asked; n == 0 {
		p.fatalf("right asks %d times", n)
	}
	p.drive(3 * time.Minute)
	mine, _ := p.left.established()
	if sas, children := p.right.established(); sas != mine || children != mine {
		p.fatalf("right has %d IKE SAs and %d children, left has %d", sas, children, mine)
	}
	p.wantChildOf("lan")
}

// wantChildOf checks that a child of the sides' first peers is up.
func (p *testPair) wantChildOf(child string) {
	p.t.Helper()
	p.wantChild(p.left, child)
	p.wantChild(p.right, child)
}

// Two entries with the same identities and different secrets are both tried: as the responder each
// that matches, as the initiator each with its own.
func TestEntriesWithDifferentSecrets(t *testing.T) {
	for _, left := range []bool{true, false} {
		p := newPair(t, 1, func(p *testPair) {
			other := p.right.peers[0]
			other.Name, other.PSK = "other", []byte("the secret of somebody else")
			p.right.peers = []Peer{other, p.right.peers[0]}
		})
		s, peer := p.right, "left"
		if left {
			s, peer = p.left, "right"
		}
		ref := s.ref()
		s.handle(Connect{Peer: peer, Ref: ref})
		p.drive(3 * time.Second)
		p.wantDone(s, ref, "")
		for _, st := range p.right.e.Status() {
			if up := st.State == PeerEstablished; up != (st.Name == "left") {
				p.fatalf("%s is established: %t", st.Name, up)
			}
		}
		ref = p.right.ref()
		p.right.handle(Connect{Peer: "other", Ref: ref})
		p.drive(3 * time.Second)
		p.wantDone(p.right, ref, "AUTHENTICATION_FAILED")
		if i := slices.IndexFunc(p.right.e.Status(), func(st PeerStatus) bool { return st.Name == "left" }); p.right.e.Status()[i].State != PeerEstablished {
			p.fatalf("the entry with the right secret went down")
		}
	}
}

// TestSharingCostsLittle: to look for the IKE SAs of other entries reads no distinguished name of
// theirs, however many there are.
func TestSharingCostsLittle(t *testing.T) {
	peers := crowdPeers(false, 1000)
	for i := range peers {
		peers[i].LocalID, peers[i].RemoteID = dnOf(t, 0), dnOf(t, i+1)
	}
	c := newCrowd(t)
	c.handle(c.right, SetPeers{Peers: peers})
	parties := 0
	allocs := testing.AllocsPerRun(1, func() {
		parties = 0
		for range c.right.peers.sharing(c.right.peers.order[0], identity.ID{}) {
			parties++
		}
	})
	if parties != len(peers) || allocs > 20 {
		t.Errorf("%v allocations for %d parties", allocs, parties)
	}
}

// TestSharingCopiesNothing: the list of the entries with one remote identity, which may be all, is
// not copied for each handshake.
func TestSharingCopiesNothing(t *testing.T) {
	octets := func(n int) uint64 {
		peers := crowdPeers(false, n)
		for i := range peers {
			peers[i].RemoteID = peers[0].RemoteID
		}
		c := newCrowd(t)
		c.handle(c.right, SetPeers{Peers: peers})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range c.right.peers.sharing(c.right.peers.order[0], peers[0].RemoteID) {
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if one, many := octets(1), octets(1000); many > one+1000 {
		t.Errorf("%d octets for 1000 entries, %d for one", many, one)
	}
}

func BenchmarkSharing(b *testing.B) {
	e := namedByDN(b)
	for b.Loop() {
		for range e.peers.sharing(e.peers.order[0], identity.ID{}) {
		}
	}
}
