package ike

import (
	"crypto"
	"crypto/ed25519"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// edits are changes of a peer's settings, by field; the child's by "child" and the field.
var edits = []struct {
	field string
	reach Reach
	edit  func(*Peer)
}{
	{"Name", ReachPeer, func(p *Peer) { p.Name = "x" }},
	{"Remote", ReachConnect, func(p *Peer) { p.Remote = append(p.Remote, netip.MustParseAddr("192.0.2.77")) }},
	{"RemotePort", ReachConnect, func(p *Peer) { p.RemotePort = 5500 }},
	{"RemoteNATPort", ReachConnect, func(p *Peer) { p.RemoteNATPort = 5501 }},
	{"Local", ReachPeer, func(p *Peer) { p.Local = netip.MustParseAddr("192.0.2.78") }},
	{"Transport", ReachConnect, func(p *Peer) { p.Transport = &ipsec.Transport{} }},
	{"LocalID", ReachPeer, func(p *Peer) { p.LocalID = identity.ID{Type: wire.IDFQDN, Data: "x"} }},
	{"RemoteID", ReachPeer, func(p *Peer) { p.RemoteID = identity.ID{Type: wire.IDFQDN, Data: "x"} }},
	{"PSK", ReachConnect, func(p *Peer) { p.PSK = []byte("another secret of some length") }},
	{"OtherPSKs", ReachConnect, func(p *Peer) { p.OtherPSKs = [][]byte{[]byte("another secret of some length")} }},
	{"Parties", ReachPeer, func(p *Peer) { p.Parties = true }},
	{"MaxParties", ReachNone, func(p *Peer) { p.MaxParties = 7 }},
	{"Certificates", ReachConnect, func(p *Peer) {
		p.Certificates = &Certificates{RemoteKeys: []crypto.PublicKey{ed25519.PublicKey(make([]byte, 32))}}
	}},
	{"Auth", ReachConnect, func(p *Peer) { p.Auth = []AuthKind{AuthPSK} }},
	{"RemoteAuth", ReachConnect, func(p *Peer) { p.RemoteAuth = []AuthKind{AuthPSK, AuthCertificate} }},
	{"Credential", ReachConnect, func(p *Peer) { p.Credential = PSK("another secret of some length") }},
	{"Proposals", ReachRekey, func(p *Peer) { p.Proposals = append(slices.Clone(p.Proposals), testIKEProposal) }},
	{"Lifetime", ReachRekey, func(p *Peer) { p.Lifetime = time.Hour }},
	{"AuthLifetime", ReachConnect, func(p *Peer) { p.AuthLifetime = time.Hour }},
	{"Encap", ReachPeer, func(p *Peer) { p.Encap = EncapNever }},
	{"DPD", ReachNone, func(p *Peer) { p.DPD = 7 * time.Second }},
	{"DPDAction", ReachNone, func(p *Peer) { p.DPDAction = DPDClear }},
	{"Retransmit", ReachNone, func(p *Peer) { p.Retransmit.Tries = 3 }},
	{"Reconnect", ReachNone, func(p *Peer) { p.Reconnect.First = time.Second }},
	{"Fragment", ReachConnect, func(p *Peer) { p.Fragment = 600 }},
	{"Priority", ReachNone, func(p *Peer) { p.Priority = 7 }},
	{"Childless", ReachConnect, func(p *Peer) { p.Childless = ChildlessForce }},
	{"PerResource", ReachPeer, func(p *Peer) { p.PerResource = true }},
	{"Children", ReachNone, func(p *Peer) { p.Children = append(p.Children, Child{Name: "dmz", Proposals: p.Children[0].Proposals}) }},
	{"child Name", ReachChild, func(p *Peer) { p.Children[0].Name = "x" }},
	{"child Local", ReachChild, func(p *Peer) { p.Children[0].Local = slices.Concat(p.Children[0].Local, elsewhere) }},
	{"child Remote", ReachChild, func(p *Peer) { p.Children[0].Remote = slices.Concat(p.Children[0].Remote, elsewhere) }},
	{"child Proposals", ReachRekey, func(p *Peer) {
		p.Children[0].Proposals = append(slices.Clone(p.Children[0].Proposals), testESPProposal)
	}},
	{"child Start", ReachNone, func(p *Peer) { p.Children[0].Start = StartNever }},
	{"child Children", ReachChild, func(p *Peer) { p.Children[0].Children = ChildrenPerPair }},
	{"child Mode", ReachChild, func(p *Peer) { p.Children[0].Mode = ModeTransport }},
	{"child Narrow", ReachNone, func(p *Peer) { p.Children[0].Narrow = NarrowPeer }},
	{"child Lifetime", ReachRekey, func(p *Peer) { p.Children[0].Lifetime = 7 * time.Minute }},
	{"child Limits", ReachRekey, func(p *Peer) { p.Children[0].Limits.SoftPackets, p.Children[0].Limits.HardPackets = 9000, 9900 }},
	{"child ReplayWindow", ReachRekey, func(p *Peer) { p.Children[0].ReplayWindow = 128 }},
}

var elsewhere = []selector.Selector{selector.FromPrefix(netip.MustParsePrefix("10.9.0.0/24"))}

// Every field of Peer and Child has an edit above, so none is forgotten by Changes.
func TestEverySettingHasAReach(t *testing.T) {
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Peer]()) {
		fields = append(fields, f.Name)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Child]()) {
		fields = append(fields, "child "+f.Name)
	}
	for i, e := range edits {
		if i >= len(fields) || !slices.Contains(fields, e.field) {
			t.Errorf("%s is not a field", e.field)
		}
	}
	if len(edits) != len(fields) {
		t.Errorf("%d edits, %d fields: %q", len(edits), len(fields), fields)
	}
	p := newPair(t, 1, nil)
	for _, e := range edits {
		was := p.left.peers[0]
		now := editedPeer(was, e.edit)
		list := Changes(&was, &now)
		if got := Furthest(list); len(list) == 0 || got != e.reach {
			t.Errorf("%s: got %v, want reach %d", e.field, list, e.reach)
		}
	}
	if list := Changes(&p.left.peers[0], &p.left.peers[0]); len(list) != 0 {
		t.Errorf("without a change: %v", list)
	}
}

func editedPeer(was Peer, edit func(*Peer)) Peer {
	was.Children = slices.Clone(was.Children)
	edit(&was)
	return was
}

// streamedPair is a tunnel of two children under traffic both ways.
func streamedPair(t *testing.T) *testPair {
	p := newPair(t, 1, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].Children = append(s.peers[0].Children, testChild(s, "second", 1))
		}
	})
	p.up()
	return p
}

// stream sends packets of children both ways for a while.
func (p *testPair) stream(d time.Duration, children ...string) {
	for end := p.now.Add(d); p.now.Before(end); p.drive(5 * time.Millisecond) {
		for _, c := range children {
			p.left.traffic(c)
			p.right.traffic(c)
		}
	}
}

// Each change is made under traffic, by SetPeers and by ChangePeers. What it does not reach stays:
// the IKE SA, the Child SAs, every packet.
func TestReloadHarmsNothingElse(t *testing.T) {
	for _, e := range edits {
		if e.reach == ReachPeer {
			continue
		}
		for _, whole := range []bool{true, false} {
			t.Run(e.field, func(t *testing.T) {
				p := streamedPair(t)
				spi := p.left.e.Status()[0].SPIi
				id := p.left.plane.ofPolicy(p.left.policy("second"))[0].sa.ID
				lan := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.ID
				carried := []string{"second"}
				if e.reach != ReachChild {
					carried = append(carried, "lan")
				}
				p.stream(time.Second, carried...)
				p.left.reload(editedPeer(p.left.peers[0], e.edit), whole)
				p.stream(3*time.Second, carried...)
				p.drive(time.Second)
				p.wantNoLoss()
				p.wantSound()
				if got := p.left.e.Status()[0].SPIi; got != spi || p.left.requests(wire.IKESAInit) != 1 {
					t.Errorf("IKE SA %v, want %v as before", got, spi)
				}
				if got := p.left.plane.ofPolicy(p.left.policy("second")); len(got) != 1 || got[0].sa.ID != id {
					t.Error("the other child's SA is another one")
				}
				if same := p.left.plane.sas[lan] != nil; same != (e.reach != ReachChild) {
					t.Errorf("the SA of the changed child stays: %v", same)
				}
			})
		}
	}
}

// reload is what the daemon does: PlanPeers, and then the change.
func (s *testSide) reload(p Peer, whole bool) {
	s.handle(PlanPeers{Set: []Peer{p}, Whole: whole})
	if whole {
		s.handle(SetPeers{Peers: []Peer{p}})
	} else {
		s.handle(ChangePeers{Set: []Peer{p}})
	}
	s.peers = []Peer{p}
}

// A changed child is negotiated again in the same IKE SA; a removed one is closed on both sides.
func TestReloadOfAChild(t *testing.T) {
	p := streamedPair(t)
	narrow := []selector.Selector{selector.FromPrefix(netip.MustParsePrefix("10.1.0.128/25"))}
	was := p.left.policy("lan")
	p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.Children[0].Local = narrow }), false)
	p.drive(2 * time.Second)
	p.wantTunnel()
	pol := p.left.policy("lan")
	if got := p.left.plane.ofPolicy(pol)[0].sa.LocalTS; pol == was || !slices.Equal(got, narrow) {
		t.Errorf("policy %d after %d, local networks %v", pol, was, got)
	}
	p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.Children = q.Children[1:] }), false)
	p.drive(2 * time.Second)
	p.wantChild(p.left, "second")
	if got := p.right.plane.ofPolicy(p.right.policy("lan")); len(got) != 0 || p.left.requests(wire.IKESAInit) != 1 {
		t.Errorf("the peer has %d SAs of the removed child", len(got))
	}
	p.wantSound()
}

// A child that was up is set up again after a change that closes the peer's IKE SAs, also if only a
// command brings it up; one that is down stays down.
func TestReloadSetsUpAgain(t *testing.T) {
	for _, whole := range []bool{true, false} {
		p := streamedPair(t)
		p.wantDone(p.left, driven(p, p.left.disconnect("lan")), "")
		closing := editedPeer(p.left.peers[0], func(q *Peer) {
			q.PerResource = !q.PerResource
			for i := range q.Children {
				q.Children[i].Start = StartNever
			}
		})
		p.left.reload(closing, whole)
		p.drive(3 * time.Second)
		p.wantChild(p.left, "second")
		if n := len(p.left.plane.ofPolicy(p.left.policy("lan"))); n != 0 || p.left.requests(wire.IKESAInit) != 2 {
			t.Errorf("whole %v: the child that was down has %d SAs", whole, n)
		}
		p.wantSound()
	}
}

// A child that is removed while it is negotiated leaves no SA on either side.
func TestReloadDuringANegotiation(t *testing.T) {
	for wait := range 30 {
		p := streamedPair(t)
		p.wantDone(p.left, driven(p, p.left.disconnect("lan")), "")
		p.left.connect("lan")
		p.drive(time.Duration(wait) * time.Millisecond)
		p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.Children = q.Children[1:] }), false)
		p.drive(10 * time.Second)
		if n, m := len(p.left.plane.sas), len(p.right.plane.sas); n != 1 || m != 1 {
			t.Fatalf("removed after %d ms: %d and %d SAs, want the other child's", wait, n, m)
		}
		p.wantSound()
	}
}

func driven(p *testPair, ref uint64) uint64 {
	p.drive(2 * time.Second)
	return ref
}

// Another dpd is in force at once, also from none.
func TestReloadOfDPD(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].DPD = 0; p.right.peers[0].DPD = 0 })
	p.up()
	p.right.kill()
	p.left.traffic("lan")
	p.drive(time.Minute)
	n := p.left.requests(wire.Informational)
	if n > 0 {
		t.Fatal("a liveness check without dpd")
	}
	p.left.traffic("lan")
	p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.DPD = 5 * time.Second }), false)
	p.drive(6 * time.Second)
	if got := p.left.requests(wire.Informational); got != 1 {
		t.Errorf("%d liveness checks of a peer that is dead", got)
	}
}
