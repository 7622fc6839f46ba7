package ike

import (
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

func TestTermsUnion(t *testing.T) {
	never, auto, always := initTerms{encap: EncapNever}, initTerms{encap: EncapAuto}, initTerms{encap: EncapAlways}
	small, large := initTerms{encap: EncapNever, fragment: 576}, initTerms{encap: EncapNever, fragment: 1280}
	for _, c := range []struct {
		list []initTerms
		want initTerms
	}{
		{nil, never},
		{[]initTerms{never, never}, never},
		{[]initTerms{never, auto}, auto},
		{[]initTerms{auto, always, never}, always},
		{[]initTerms{large, small}, small},
		{[]initTerms{small, never, large}, small},
		{[]initTerms{auto, large}, initTerms{encap: EncapAuto, fragment: 1280}},
		{[]initTerms{{encap: EncapNever, childless: true}, auto}, initTerms{encap: EncapAuto, childless: true}},
		{[]initTerms{auto, {encap: EncapNever, childless: true}}, initTerms{encap: EncapAuto, childless: true}},
	} {
		for range 2 {
			table := termsTable{}
			half := len(c.list) / 2
			for _, terms := range c.list[:half] {
				mode := ChildlessNever
				if terms.childless {
					mode = ChildlessAllow
				}
				table.count(&profile{cfg: Peer{Encap: terms.encap, Fragment: terms.fragment, Childless: mode}}, 1)
			}
			if got := table.union(c.list[half:]...); got != c.want {
				t.Errorf("union of %v = %v, want %v", c.list, got, c.want)
			}
		}
	}
}

func TestTermsTableForgets(t *testing.T) {
	table, p := termsTable{}, &profile{cfg: Peer{Encap: EncapAlways}}
	table.count(p, 1)
	table.count(p, 1)
	table.count(p, -1)
	if len(table) != 1 {
		t.Error("one of two peers is gone, and so are the terms of the other")
	}
	table.count(p, -1)
	if len(table) != 0 {
		t.Errorf("%v stays", table)
	}
}

// connectFor2s connects and gives the other side time to answer.
func (s *testSide) connectFor2s() uint64 {
	ref := s.connect("")
	s.p.drive(2 * time.Second)
	return ref
}

// TestTermsOfAnotherEntry has a client behind a NAT call a responder whose first entry, for other
// callers, allows neither encapsulation nor fragments: the client's own entry counts.
func TestTermsOfAnotherEntry(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		behindNAT(p)
		own := &p.right.peers[0]
		own.Remote, own.Fragment, p.left.peers[0].Fragment = nil, 576, 576
		other := *own
		other.Name, other.Encap, other.Fragment = "other", EncapNever, 0
		other.RemoteID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"}
		p.right.peers = append([]Peer{other}, *own)
	})
	p.wantDone(p.left, p.left.connectFor2s(), "")
	if st, ok := p.right.e.StatusOf("left"); !ok || !st.Children[0].Encap || !st.NAT.Remote {
		t.Errorf("right sees %+v, %v", st, ok)
	}
	if n := p.right.e.peers.byName["left"].party.main().keys.fragment; n != 576 {
		t.Errorf("right sends fragments of %d octets", n)
	}
	p.left.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
}

// TestTermsAreNarrowed has the caller turn out to be the entry that allows less than was announced.
// Nothing is sent to it in fragments, but what it sends is accepted: it was told that it may.
func TestTermsAreNarrowed(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		own := &p.right.peers[0]
		own.Remote, own.Encap, own.Fragment = nil, EncapNever, 0
		p.left.peers[0].Fragment = 200
		other := *own
		other.Name, other.Encap, other.Fragment = "other", EncapAuto, 1280
		other.RemoteID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"}
		p.right.peers = append([]Peer{other}, *own)
	})
	p.wantDone(p.left, p.left.connectFor2s(), "")
	s := p.right.e.peers.byName["left"].party.main()
	if s.keys.fragment != receivesFragments || s.maxDatagram() != 0 || s.net.encap != encapImpossible {
		t.Errorf("fragments of %d octets, encapsulation %v", s.keys.fragment, s.net.encap)
	}
	p.wantDone(p.left, driven(p, p.left.rekey("lan")), "")
	p.wantDone(p.left, driven(p, p.left.rekey("")), "")
	p.wantDone(p.left, driven(p, p.left.rekey("lan")), "")
}

// TestTermsOfOneAttempt changes the setting of fragments while another form of the IKE_SA_INIT
// request is called for. All forms announce what the first one does: another attempt has the new
// setting.
func TestTermsOfOneAttempt(t *testing.T) {
	for _, size := range []int{0, 200} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].Proposals = append(p.left.peers[0].Proposals, withGroup(testIKEProposal, wire.GroupECP256))
			p.right.peers[0].Proposals = p.left.peers[0].Proposals[1:]
			p.left.peers[0].Fragment, p.right.peers[0].Fragment = size, 576
		})
		p.left.connect("lan")
		p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.Fragment = 200 - size }), false)
		p.drive(time.Second)
		p.wantTunnel()
		if s := p.left.main(); s.keys.fragment != size || s.party.cfg.Fragment == size {
			t.Errorf("set to %d, and now to %d: an IKE SA with %d", size, s.party.cfg.Fragment, s.keys.fragment)
		}
	}
}

// TestEncapChangedDuringACall changes the setting of UDP encapsulation of the side that is called,
// between its response to IKE_SA_INIT and IKE_AUTH: both sides do what that response announced.
func TestEncapChangedDuringACall(t *testing.T) {
	for _, encap := range []EncapMode{EncapAuto, EncapAlways} {
		p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Encap = encap })
		p.left.connect("lan")
		p.drive(15 * time.Millisecond)
		if n := p.right.e.sas.halfOpen.Count(); n != 1 {
			p.fatalf("%d half-open IKE SAs", n)
		}
		p.right.reload(editedPeer(p.right.peers[0], func(q *Peer) { q.Encap = EncapAuto + EncapAlways - encap }), false)
		p.drive(time.Second)
		p.wantTunnel()
		if got := p.right.main().net.encap == encapUsed; got != (encap == EncapAlways) {
			t.Errorf("announced %v: encapsulated %v", encap, got)
		}
	}
}

// TestBeginsAtNATPort connects to a peer whose port of IKE is the NAT port: every message has the
// marker, and nothing changes its port.
func TestBeginsAtNATPort(t *testing.T) {
	for _, encap := range []EncapMode{EncapAuto, EncapNever} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].RemotePort = 4500
			p.left.peers[0].Encap, p.right.peers[0].Encap = encap, encap
		})
		p.link = func(pk *testPacket) []time.Duration {
			if pk.msg != nil && (pk.src.Port() != 4500 || pk.dst.Port() != 4500 || pk.via != ipsec.NAT) {
				t.Errorf("%v goes from %v to %v by %s", pk.msg, pk.src, pk.dst, pk.via.Name)
			}
			return []time.Duration{time.Millisecond}
		}
		p.up2()
		p.right.traffic("lan")
		p.drive(time.Second)
		p.wantNoLoss()
		if got, want := p.left.e.Status()[0].Children[0].Encap, encap == EncapAuto; got != want {
			t.Errorf("encap %d: ESP is encapsulated %v, want %v", encap, got, want)
		}
	}
}
