package ike

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// down takes something of a side down, and waits for the outcome.
func (p *testPair) down(s *testSide, peer, child string) {
	p.t.Helper()
	ref := s.ref()
	s.handle(Disconnect{Peer: peer, Child: child, By: "root", Ref: ref})
	p.drive(15 * time.Second) // a pair that the peer may not have yet is deleted later
	p.wantDone(s, ref, "")
}

// lift brings something of a side up, and waits for the outcome.
func (p *testPair) lift(s *testSide, peer, child, text string) {
	p.t.Helper()
	ref := s.ref()
	s.handle(Connect{Peer: peer, Child: child, Ref: ref})
	p.drive(10 * time.Second)
	p.wantDone(s, ref, text)
}

// wantHeld checks what the status of a peer says of who holds it down; "" for nobody.
func (p *testPair) wantHeld(s *testSide, peer, by string) {
	p.t.Helper()
	st, ok := s.e.StatusOf(peer)
	got := ""
	if st.Held != nil {
		got = st.Held.By
	}
	if !ok || got != by || by != "" && (st.State != PeerDown || !strings.Contains(st.Reason, "down by command of "+by)) {
		p.fatalf("%s: %s is held by %q in state %v (%q), want %q", s.name, peer, got, st.State, st.Reason, by)
	}
}

// allBoot has every child up from the start, on both sides.
func allBoot(p *testPair) {
	for _, s := range []*testSide{p.left, p.right} {
		for i := range s.peers[0].Children {
			s.peers[0].Children[i].Start = StartBoot
		}
	}
}

// A peer that is taken down stays down: traffic, start = "boot", the peer's calls and a reload do
// not bring it up. Its packets are dropped at once, even if it does not answer the Delete.
func TestDownIsDown(t *testing.T) {
	for _, silent := range []bool{false, true} {
		p := newPair(t, 1, allBoot)
		p.drive(time.Minute)
		p.wantTunnel()
		link := p.link
		if silent {
			p.link = func(*testPacket) []time.Duration { return nil }
		}
		ref := p.right.ref()
		p.right.handle(Disconnect{Peer: "left", By: "root", Ref: ref})
		if p.right.plane.senders() > 0 || !p.right.plane.held[p.right.policy("lan")] {
			p.fatalf("packets are still sent")
		}
		p.drive(5 * time.Minute)
		p.link = link
		p.wantDone(p.right, ref, "")
		p.right.handle(SetPeers{Peers: slices.Clone(p.right.peers)})
		changed := slices.Clone(p.right.peers)
		changed[0].Encap = EncapAlways // the profile is another one
		p.right.handle(SetPeers{Peers: changed})
		for range 20 {
			p.left.traffic("lan")
			p.right.traffic("lan")
			p.drive(30 * time.Second)
		}
		p.wantNoChild("lan")
		p.wantHeld(p.right, "left", "root")
		if st := p.right.e.Status()[0]; st.Children[0].State != ChildDown || st.Children[0].Held == nil || !p.right.plane.held[p.right.policy("lan")] {
			p.fatalf("after a reload the child is %+v", st.Children[0])
		}
		if n := p.right.e.Counters()["ike_refused_down"]; n < 3 {
			p.fatalf("%d calls were refused", n)
		}
		told := 0
		for _, n := range p.right.notices {
			if n.Event == "call-refused" {
				told++
			}
		}
		if told != 1 || p.right.e.Counters()["ike_authentication_failed"] != 0 {
			p.fatalf("%d refused calls were told", told)
		}
		p.lift(p.right, "left", "", "")
		p.wantHeld(p.right, "left", "")
		p.wantTunnel()
		if p.right.plane.held[p.right.policy("lan")] {
			p.fatalf("the packets of the child are still dropped")
		}
	}
}

// A peer that only calls us is released without waiting for its call.
func TestUpOfAPeerThatCalls(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { allBoot(p); p.right.peers[0].Remote = nil })
	p.drive(time.Minute)
	p.wantTunnel()
	p.down(p.right, "left", "")
	p.drive(time.Minute)
	p.wantNoChild("lan")
	ref := p.right.connect("")
	p.wantDone(p.right, ref, "")
	p.drive(2 * time.Minute)
	p.wantTunnel()
}

// Once: what should always be up, comes up again after a pause.
func TestDownOnce(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.drive(time.Minute)
	ref := p.left.disconnect("")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.wantNoChild("lan")
	p.wantHeld(p.left, "right", "")
	p.drive(20 * time.Second)
	p.wantTunnel()
}

// One child of two is taken down. The peer's requests for it are refused so that the IKE SA and the
// other child stay.
func TestDownOfOneChild(t *testing.T) {
	p := newPair(t, 1, twoChildren)
	p.up()
	p.down(p.right, "left", "lan")
	p.wantNoChild("lan")
	p.wantChild(p.left, "two")
	p.wantHeld(p.right, "left", "")
	ref := p.left.connect("lan")
	p.drive(10 * time.Minute)
	p.wantDone(p.left, ref, "TS_UNACCEPTABLE")
	p.right.traffic("lan")
	p.drive(time.Minute)
	p.wantNoChild("lan")
	p.wantChild(p.left, "two")
	if n := p.left.e.Counters()["ike_refused_down"] + p.right.e.Counters()["ike_refused_down"]; n == 0 {
		p.fatalf("no request was refused")
	}
	// The first Child SA of a new IKE SA is refused alike.
	p.wantDone(p.left, driven(p, p.left.disconnect("")), "")
	ref = p.left.connect("two")
	p.left.traffic("lan")
	p.drive(10 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantNoChild("lan")
	p.lift(p.right, "left", "lan", "")
	p.wantTunnel()
}

// What is taken down while a rekeying is not answered comes up again at once: by a new IKE SA,
// whether the peer was restarted and says nothing of the old one, or was only away. The late answer
// to the old request changes nothing.
func TestUpDuringAnUnansweredRekeying(t *testing.T) {
	for _, child := range []string{"lan", ""} {
		for _, restarted := range []bool{true, false} {
			for side := range 2 {
				p := newPair(t, 1, nil)
				p.up()
				s := p.sides()[side]
				peer := s.peers[0].Name
				link := p.link
				p.link = func(*testPacket) []time.Duration { return nil }
				s.rekey(child)
				p.drive(time.Second)
				s.handle(Disconnect{Peer: peer, By: "root", Ref: s.ref()})
				p.drive(time.Second)
				ref := s.ref()
				s.handle(Connect{Peer: peer, Ref: ref})
				p.link = link
				if restarted {
					s.other().kill()
					s.other().start()
					p.link = func(pk *testPacket) []time.Duration {
						if pk.msg != nil && !pk.msg.protected && pk.msg.hdr.Exchange != wire.IKESAInit {
							return nil
						}
						return link(pk)
					}
				}
				p.drive(2 * time.Second)
				p.wantDone(s, ref, "")
				if psa := s.plane.sender(s.policy("lan"), 1); psa == nil || s.other().plane.inbound[psa.sa.SPIOut] == nil {
					p.fatalf("%s sends on %+v", s.name, psa)
				}
				p.drive(3 * time.Minute)
				if n := len(s.e.peers.order[0].party.sas); n != 1 {
					p.fatalf("%d IKE SAs at rest", n)
				}
				p.wantTunnel()
				p.wantSound()
			}
		}
	}
}

// What is under way when a child is taken down does not bring it up: our own request, and one of
// the peer.
func TestDownDuringANegotiation(t *testing.T) {
	for _, asks := range []string{"left", "right"} {
		for steps := range 12 {
			p := newPair(t, 1, twoChildren)
			for _, s := range []*testSide{p.left, p.right} {
				s.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
				s.handle(SetPeers{Peers: slices.Clone(s.peers)})
			}
			ref := p.left.connect("two")
			p.drive(2 * time.Second)
			p.wantDone(p.left, ref, "")
			p.left.traffic("two")
			p.right.traffic("two")
			p.drive(time.Second)
			side := p.left
			if asks == "right" {
				side = p.right
			}
			side.connect("lan")
			for range steps {
				p.step(p.now.Add(time.Second))
			}
			p.down(p.right, "left", "lan")
			p.drive(time.Minute)
			p.wantNoChild("lan")
			p.wantChild(p.left, "two")
		}
	}
}

// What is down with its peer comes up with its peer.
func TestUpOfAPartOfWhatIsDown(t *testing.T) {
	p := newPair(t, 1, twoChildren)
	p.up()
	p.down(p.left, "right", "two")
	p.down(p.left, "right", "")
	p.lift(p.left, "right", "lan", `right was taken down by root at `)
	p.wantHeld(p.left, "right", "root")
	p.lift(p.left, "right", "", "")
	p.wantTunnel()
	if len(p.left.e.holds) > 0 {
		p.fatalf("held down: %v", p.left.e.holds)
	}
	// A child, and a peer, that are no longer configured take their word with them.
	p.down(p.left, "right", "two")
	peers := slices.Clone(p.left.peers)
	peers[0].Children = peers[0].Children[:1]
	p.left.handle(SetPeers{Peers: peers})
	if len(p.left.e.holds) > 0 {
		p.fatalf("held down: %v", p.left.e.holds)
	}
	p.down(p.left, "right", "")
	p.left.handle(ChangePeers{Gone: []string{"right"}})
	if len(p.left.e.holds) > 0 {
		p.fatalf("held down: %v", p.left.e.holds)
	}
}

// Of a peer with many parties one is taken down, through a reload that makes another profile, then
// all.
func TestDownOfAParty(t *testing.T) {
	p := manyUsers(t, 3)
	for i := range 3 {
		if err := p.call(i); err != nil {
			t.Fatal(err)
		}
	}
	one := "office#" + userName(1)
	p.down(p.right, one, "")
	p.drive(lingerDead + time.Minute)
	if err := p.call(1); err == nil || !strings.Contains(err.Error(), "AUTHENTICATION_FAILED") {
		t.Fatalf("user 1 may call: %v", err)
	}
	p.wantHeld(p.right, one, "root")
	if st, _ := p.right.e.StatusOf(one); st.Parties.Connected != 2 {
		t.Errorf("%d parties are connected", st.Parties.Connected)
	}
	if id := p.right.plane.policyNamed(ipsec.PolicyName{Peer: "office", Party: userName(1), Child: "lan"}); !p.right.plane.held[id] {
		t.Error("its packets are not dropped as those of a party that is down")
	}
	peers := slices.Clone(p.right.peers)
	peers[0].Encap = EncapAlways
	p.right.handle(SetPeers{Peers: peers})
	p.drive(lingerDead + time.Minute)
	p.wantHeld(p.right, one, "root")
	if err := p.call(2); err != nil {
		t.Fatalf("user 2: %v", err)
	}
	p.lift(p.right, one, "", "")
	if err := p.call(1); err != nil {
		t.Fatalf("user 1: %v", err)
	}
	p.down(p.right, "office", "")
	p.drive(lingerDead + time.Minute)
	for i := range 3 {
		if err := p.call(i); err == nil || !strings.Contains(err.Error(), "AUTHENTICATION_FAILED") {
			t.Errorf("user %d may call: %v", i, err)
		}
	}
	if n := len(p.right.e.peers.byName["office"].members.list); n != 0 {
		t.Errorf("%d parties are listed", n)
	}
	p.lift(p.right, "office", "", "")
	if err := p.call(0); err != nil {
		t.Fatal(err)
	}
}
