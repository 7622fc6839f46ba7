package ike

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// userName is the identity of the n-th of many users.
func userName(n int) string { return fmt.Sprintf("user%04d@example.com", n) }

// idOf returns the identity of a text.
func idOf(t testing.TB, text string) identity.ID {
	t.Helper()
	id, err := identity.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// userNet is the network of the n-th user.
func userNet(n int) []selector.Selector {
	return []selector.Selector{selector.FromAddr(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}))}
}

// user returns the left side's peer for one of many users at the right side.
func user(p *testPair, n int) Peer {
	peer := defaultPeer(p.left, p.right)
	peer.Name = fmt.Sprintf("as%04d", n)
	peer.LocalID = identity.ID{Type: wire.IDRFC822, Data: userName(n)}
	peer.DPD = 0
	peer.Children[0].Local = userNet(n)
	return peer
}

// manyUsers returns a pair whose left side is n users, and whose right side has one profile for
// them.
func manyUsers(t testing.TB, n int) *testPair {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers = nil
		for i := range n {
			p.left.peers = append(p.left.peers, user(p, i))
		}
		office := &p.right.peers[0]
		office.Name, office.Remote, office.Parties, office.DPD = "office", nil, true, 0
		office.RemoteID = identity.ID{Type: wire.IDRFC822, Data: "*@example.com"}
		office.Children[0].Remote = testNetworks("10.1.0.0/16")
	})
	return p
}

// call brings up one user.
func (p *testPair) call(n int) error {
	ref := p.left.ref()
	p.left.handle(Connect{Peer: p.left.peers[n].Name, Ref: ref})
	p.drive(200 * time.Millisecond)
	if !p.left.answered[ref] {
		return fmt.Errorf("user %d: no answer", n)
	}
	return p.left.done[ref]
}

// partyPolicy returns the entry of a user in the right side's SPD.
func (p *testPair) partyPolicy(n int) (ipsec.Policy, bool) {
	id := p.right.plane.policyNamed(ipsec.PolicyName{Peer: "office", Party: userName(n), Child: "lan"})
	e, ok := p.right.plane.spd[id]
	return e, ok
}

// TestAnyIdentity: an entry for all identities makes a party of each, of whatever type. One whose
// pattern says more is tried before it.
func TestAnyIdentity(t *testing.T) {
	ids := []string{"user0000@example.com", "user@other.example", "left.example.com", "192.0.2.77", "2001:db8::77", "keyid:00ff", "CN=left, O=Example"}
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers = nil
		for n, text := range ids {
			peer := user(p, n)
			peer.LocalID = idOf(t, text)
			p.left.peers = append(p.left.peers, peer)
		}
		office := &p.right.peers[0]
		office.Name, office.Remote, office.Parties, office.DPD = "any", nil, true, 0
		office.RemoteID = identity.Any
		office.Children[0].Remote = testNetworks("10.1.0.0/16")
		some := *office
		some.Name, some.RemoteID = "office", idOf(t, "*@example.com")
		p.right.peers = append(p.right.peers, some)
	})
	for n, text := range ids {
		if err := p.call(n); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		name := ipsec.PolicyName{Peer: "any", Party: partyName(idOf(t, text)), Child: "lan"}
		if n == 0 {
			name.Peer = "office"
		}
		if id := p.right.plane.policyNamed(name); id == 0 || len(p.right.plane.ofPolicy(id)) != 1 {
			t.Errorf("%s has no Child SA as %v", text, name)
		}
	}
	p.wantSound()
}

// One profile has a thousand parties. Each has its own IKE SA, Child SA and policy, and what
// happens to one does not touch the others.
func TestThousandParties(t *testing.T) {
	const n = 1000
	p := manyUsers(t, n+1)
	before := heapInUse()
	for i := range n {
		if err := p.call(i); err != nil {
			t.Fatalf("user %d: %v", i, err)
		}
	}
	if perParty := (heapInUse() - before) / n; perParty > 40<<10 { // both sides, and what the test notes
		t.Errorf("%d octets for each party", perParty)
	}
	seen := map[ipsec.PolicyID]bool{}
	for _, psa := range p.right.plane.sas {
		seen[psa.sa.Policy] = true
	}
	if len(p.right.plane.sas) != n || len(seen) != n || len(p.right.plane.spd) != n+1 {
		t.Fatalf("%d Child SAs of %d policies; %d entries in the SPD", len(p.right.plane.sas), len(seen), len(p.right.plane.spd))
	}
	for i := range n {
		if e, ok := p.partyPolicy(i); !ok || fmt.Sprint(e.Remote) != fmt.Sprint(userNet(i)) || e.Fallback {
			t.Fatalf("user %d has the policy %+v", i, e)
		}
	}
	shown := 0
	for next, first := (Mark{}), true; first || next != (Mark{}); first = false {
		var list []PeerStatus
		if list, next = p.right.e.StatusOfPart("office", next, 300); len(list) > 300 {
			t.Fatalf("a part of %d", len(list))
		}
		shown += len(list)
	}
	if one, _ := p.right.e.StatusOfPart("office#"+userName(7), Mark{}, 1); shown != n || len(one) != 1 || one[0].Party != userName(7) {
		t.Errorf("%d parties in parts; one of them is %v", shown, one)
	}
	if len(p.right.e.Status()) != n {
		t.Errorf("%d parties in the status", len(p.right.e.Status()))
	}
	// Another user asks for a network of which user 7 has a part.
	other := user(p, n).Children[0]
	other.Local = userNet(7)
	p.left.peers[n].Children = []Child{other}
	p.left.handle(ChangePeers{Set: p.left.peers[n:]})
	if err := p.call(n); err == nil || !strings.Contains(err.Error(), "TS_UNACCEPTABLE") {
		t.Errorf("a second owner of a network: %v", err)
	}
	if said := p.right.saidAll(); !strings.Contains(said, userName(n)+" asks for networks of which "+userName(7)+" has a part") {
		t.Error("the refusal is not explained")
	}
	// One goes, and the others stay.
	id := p.right.plane.policyNamed(ipsec.PolicyName{Peer: "office", Party: userName(7), Child: "lan"})
	ref := p.right.ref()
	p.right.handle(Disconnect{Peer: "office#" + userName(7), Once: true, Ref: ref})
	p.drive(time.Second)
	p.wantDone(p.right, ref, "")
	p.drive(lingerDead + time.Second)
	if _, ok := p.partyPolicy(7); ok || len(p.right.plane.sas) != n-1 || !p.right.plane.removed[id] {
		t.Errorf("after one has gone there are %d Child SAs", len(p.right.plane.sas))
	}
	if st, ok := p.right.e.StatusOf("office#" + userName(8)); !ok || st.Party != userName(8) || st.State != PeerEstablished {
		t.Errorf("the next one is %+v, %t", st, ok)
	}
	p.left.handle(SetPeers{Peers: p.left.peers[n:]})
	p.drive(lingerDead + time.Minute)
	office := p.right.e.peers.byName["office"]
	if len(office.members.list)+len(office.members.byID) > 2 || len(office.members.claims.list) != 0 || len(p.right.plane.spd) != 1 {
		t.Errorf("left: %d parties, %d claims, %d policies", len(office.members.list), len(office.members.claims.list), len(p.right.plane.spd))
	}
}

// A party that authenticates once more is the same party, under any spelling of its identity. Its
// policy stays, and grows with what it agrees to.
func TestPartyComesAgain(t *testing.T) {
	p := manyUsers(t, 2)
	if err := p.call(0); err != nil {
		t.Fatal(err)
	}
	first, _ := p.partyPolicy(0)
	again := user(p, 0)
	again.Name, again.LocalID.Data = "again", strings.ToUpper(userName(0))
	again.Children[0].Local = userNet(5)
	p.left.kill() // else the new peer would know of the other's IKE SA
	p.left.peers = []Peer{again, p.left.peers[1]}
	p.left.start()
	if err := p.call(0); err != nil {
		t.Fatal(err)
	}
	usable := 0
	for _, s := range p.right.e.peers.byName["office"].members.list[0].sas {
		if s.usable() {
			usable++
		}
	}
	if usable != 1 {
		t.Errorf("%d IKE SAs after INITIAL_CONTACT under another spelling", usable)
	}
	now, ok := p.partyPolicy(0)
	if !ok || now.ID != first.ID || !selector.Subset(userNet(5), now.Remote) {
		t.Errorf("the policy was %+v and is %+v", first, now)
	}
	if n := len(p.right.e.peers.byName["office"].members.list); n != 1 {
		t.Errorf("%d parties", n)
	}
	if err := p.call(1); err != nil || len(p.right.plane.spd) != 3 {
		t.Errorf("another user: %v, %d policies", err, len(p.right.plane.spd))
	}
}

// Nobody exists before authentication, and packets to those that are absent raise nothing.
func TestAbsentParty(t *testing.T) {
	p := manyUsers(t, 1)
	p.left.peers[0].PSK = []byte("a wrong key")
	p.left.handle(ChangePeers{Set: p.left.peers})
	if err := p.call(0); err == nil {
		t.Fatal("a wrong key was accepted")
	}
	office := p.right.e.peers.byName["office"]
	all := p.right.policy("lan")
	if e := p.right.plane.spd[all]; len(office.members.list) != 0 || len(p.right.plane.spd) != 1 || !e.Fallback || fmt.Sprint(e.Remote) != "[10.1.0.0/16]" {
		t.Errorf("%d parties; the SPD has %v", len(office.members.list), p.right.plane.spd)
	}
	p.right.handle(Acquire{Policy: all, Flow: p.right.flow(all)})
	p.drive(time.Second)
	if p.right.failed[all] == 0 {
		t.Error("no AcquireFailed")
	}
}

// A command about a peer with several parties must name one.
func TestPartyIsNamed(t *testing.T) {
	p := manyUsers(t, 2)
	for i := range 2 {
		if err := p.call(i); err != nil {
			t.Fatal(err)
		}
		ref := p.right.ref()
		p.right.handle(Rekey{Peer: "office", Ref: ref})
		p.drive(time.Second)
		p.wantDone(p.right, ref, map[int]string{1: "has 2 parties: name one of them"}[i])
	}
	for name, want := range map[string]string{"office#" + userName(1): "", "office#nobody": "has no party", "nobody#x": "there is no peer"} {
		ref := p.right.ref()
		p.right.handle(Rekey{Peer: name, Ref: ref})
		p.drive(time.Second)
		p.wantDone(p.right, ref, want)
	}
}

// A change of the profile ends its parties only if it reaches so far. By any other one they stay,
// with their IKE SAs and Child SAs.
func TestProfileOfManyChanges(t *testing.T) {
	const n = 3
	for _, e := range edits {
		switch {
		case e.field == "Remote": // a profile of many parties has none
			continue
		case e.reach == ReachChild, e.reach == ReachPeer && e.field != "Encap":
			continue
		}
		for _, whole := range []bool{true, false} {
			t.Run(e.field, func(t *testing.T) {
				p := manyUsers(t, n)
				for i := range n {
					if err := p.call(i); err != nil {
						t.Fatal(err)
					}
				}
				sas, children := maps.Clone(p.right.e.sas.bySPI), maps.Clone(p.right.plane.sas)
				p.right.reload(editedPeer(p.right.peers[0], e.edit), whole)
				p.drive(time.Minute)
				if e.reach == ReachPeer {
					if len(p.right.e.sas.bySPI) != 0 || len(p.right.plane.sas) != 0 || len(p.right.plane.spd) != 1 {
						p.fatalf("left: %d IKE SAs, %d SAs, the SPD %v", len(p.right.e.sas.bySPI), len(p.right.plane.sas), p.right.plane.spd)
					}
					return
				}
				if len(sas) != n || len(children) != n || !maps.Equal(p.right.e.sas.bySPI, sas) || !maps.Equal(p.right.plane.sas, children) {
					p.fatalf("the SAs were %v and %v, and are %v and %v", sas, children, p.right.e.sas.bySPI, p.right.plane.sas)
				}
				if asked := p.left.requests(wire.IKESAInit); asked != n {
					p.fatalf("%d IKE SAs were begun, want %d", asked, n)
				}
				p.wantSound()
			})
		}
	}
}

// TestMaxParties: beyond max_parties an identity is refused, which leaves nothing behind, is told
// and is counted. One that is connected may connect again, and one that goes makes room.
func TestMaxParties(t *testing.T) {
	const most = 3
	p := manyUsers(t, most+2)
	office := p.right.peers[0]
	office.MaxParties = most
	p.right.handle(ChangePeers{Set: []Peer{office}})
	for i := range most {
		if err := p.call(i); err != nil {
			t.Fatal(err)
		}
	}
	full := p.right.snapshot()
	for i := range 2 {
		if err := p.call(most + i); err == nil || !strings.Contains(err.Error(), "AUTHENTICATION_FAILED") {
			t.Errorf("one more: %v", err)
		}
	}
	if text := p.wantNotice(p.right, "party-refused").Text; text != userName(most+1)+" is refused: 3 parties are connected, as many as max_parties allows" {
		t.Errorf("got %q", text)
	}
	want := PartyCount{Connected: most, Max: most, Refused: 2}
	for _, st := range p.right.e.Status() {
		if st.Party == "" || st.Parties != want {
			t.Errorf("%s: %+v, want %+v", st.Party, st.Parties, want)
		}
	}
	if n := p.right.e.Counters()["ike_too_many_parties"]; n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
	for i := range 2 {
		p.left.handle(Disconnect{Peer: p.left.peers[most+i].Name, Once: true})
	}
	p.drive(lingerDead + halfOpenLife)
	if now := p.right.snapshot(); now != full {
		t.Errorf("the state changed from\n%s\nto\n%s", full, now)
	}
	again := user(p, 1)
	again.Name = "again"
	p.left.handle(ChangePeers{Set: []Peer{again}})
	ref := p.left.ref()
	p.left.handle(Connect{Peer: "again", Ref: ref})
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	ref = p.right.ref()
	p.right.handle(Disconnect{Peer: "office#" + userName(0), Once: true, Ref: ref})
	p.drive(2*lingerDead + time.Second)
	if err := p.call(most); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if n := len(p.right.e.peers.byName["office"].members.list); n != most {
		t.Errorf("%d parties, want %d", n, most)
	}
}
