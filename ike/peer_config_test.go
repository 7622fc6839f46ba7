package ike

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// bootPair is two sides whose left brings everything up at once.
func bootPair(t *testing.T) *testPair {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.drive(2 * time.Second)
	p.wantTunnel()
	return p
}

// A reload leaves alone what did not change, also where only an address did.
func TestReloadKeeps(t *testing.T) {
	p := bootPair(t)
	spi := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.SPIIn
	p.left.handle(SetPeers{Peers: slices.Clone(p.left.peers)})
	moved := slices.Clone(p.left.peers)
	moved[0].Remote = []netip.Addr{netip.MustParseAddr("192.0.2.99")}
	p.left.handle(SetPeers{Peers: moved})
	p.drive(time.Minute)
	p.wantTunnel()
	if got := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.SPIIn; got != spi {
		t.Errorf("SPI %08x, want %08x as before", got, spi)
	}
	if n := p.left.requests(wire.IKESAInit); n != 1 {
		t.Errorf("%d IKE_SA_INIT requests, want 1", n)
	}
}

// A changed peer is closed and comes up again; a removed one is closed on both sides.
func TestReloadChanges(t *testing.T) {
	p := bootPair(t)
	changed := slices.Clone(p.left.peers)
	changed[0].PerResource = true
	p.left.handle(SetPeers{Peers: changed})
	p.drive(20 * time.Second)
	p.wantTunnel()
	if n := p.left.requests(wire.IKESAInit); n != 2 {
		t.Errorf("%d IKE_SA_INIT requests, want 2", n)
	}
	p.left.handle(SetPeers{})
	p.drive(20 * time.Second)
	p.wantNoChild("lan")
	if len(p.left.e.Status()) != 0 || p.left.e.Counters()["ike_panic"] != 0 {
		t.Errorf("status %v, counters %v", p.left.e.Status(), p.left.e.Counters())
	}
	ref := p.left.connect("")
	p.wantDone(p.left, ref, "there is no peer")
}

// Commands that make no sense are answered.
func TestCommandsRefused(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Remote = nil })
	for _, c := range []struct {
		in   func(ref uint64) Input
		want string
	}{
		{func(ref uint64) Input { return Connect{Peer: "nobody", Ref: ref} }, `there is no peer "nobody"`},
		{func(ref uint64) Input { return Connect{Peer: "right", Child: "none", Ref: ref} }, `has no child "none"`},
		{func(ref uint64) Input { return Connect{Peer: "right", Ref: ref} }, "no remote address"},
		{func(ref uint64) Input { return Rekey{Peer: "right", Ref: ref} }, "is not connected"},
		{func(ref uint64) Input { return Rekey{Peer: "right", Child: "lan", Ref: ref} }, "is not up"},
		{func(ref uint64) Input { return Disconnect{Peer: "nobody", Ref: ref} }, "there is no peer"},
	} {
		ref := p.left.ref()
		p.left.handle(c.in(ref))
		p.wantDone(p.left, ref, c.want)
	}
	ref := p.left.disconnect("")
	p.wantDone(p.left, ref, "")
	if st := p.left.e.Status()[0]; !strings.Contains(st.Reason, "waiting for traffic") {
		t.Errorf("reason %q", st.Reason)
	}
}

// ChangePeers leaves all other peers alone, and does to those that it names what SetPeers would.
func TestChangePeers(t *testing.T) {
	p := bootPair(t)
	spi := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.SPIIn
	other := p.left.peers[0]
	other.Name, other.Remote, other.RemoteID.Data = "other", nil, "other.example.com"
	moved := p.left.peers[0]
	moved.Remote = []netip.Addr{netip.MustParseAddr("192.0.2.99")}
	for _, in := range []Input{ChangePeers{Set: []Peer{other}}, ChangePeers{Gone: []string{"other", "nobody"}}, ChangePeers{Set: []Peer{moved}}, ChangePeers{Set: []Peer{p.left.peers[0], {Name: "bad"}}}} {
		p.left.handle(in)
	}
	p.drive(time.Minute)
	p.wantTunnel()
	if got := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.SPIIn; got != spi || len(p.left.e.Status()) != 1 {
		t.Errorf("SPI %08x, want %08x as before; status %v", got, spi, p.left.e.Status())
	}
	changed := p.left.peers[0]
	changed.PerResource = true
	p.left.handle(ChangePeers{Set: []Peer{changed}})
	p.drive(20 * time.Second)
	p.wantTunnel()
	if n := p.left.requests(wire.IKESAInit); n != 2 {
		t.Errorf("%d IKE_SA_INIT requests, want 2", n)
	}
	p.left.handle(ChangePeers{Gone: []string{changed.Name}})
	p.drive(20 * time.Second)
	p.wantNoChild("lan")
	p.left.handle(Shutdown{})
	p.left.handle(ChangePeers{Set: []Peer{changed}})
	if n := len(p.left.e.Status()); n != 0 {
		t.Errorf("%d peers after Shutdown", n)
	}
}

func checkPeerTable(t *testing.T, step int, got *peerTable) {
	t.Helper()
	want := newPeerTable()
	for p := range got.all() {
		other := *p
		want.add(&other)
	}
	names := func(list []*profile) (out string) {
		for _, p := range list {
			out += " " + p.cfg.Name
		}
		return out
	}
	if len(got.byAddr) != len(want.byAddr) || len(got.byID) != len(want.byID) || len(got.byName) != len(want.byName) {
		t.Fatalf("step %d: %d addresses, %d identities, %d names; want %d, %d, %d", step, len(got.byAddr), len(got.byID), len(got.byName), len(want.byAddr), len(want.byID), len(want.byName))
	}
	for addr, list := range want.byAddr {
		if names(got.byAddr[addr]) != names(list) {
			t.Fatalf("step %d: at %v%s, want%s", step, addr, names(got.byAddr[addr]), names(list))
		}
	}
	for id, list := range want.byID {
		if names(got.byID[id]) != names(list) {
			t.Fatalf("step %d: %v is%s, want%s", step, id, names(got.byID[id]), names(list))
		}
	}
	if names(got.scanned) != names(want.scanned) || names(got.anywhere) != names(want.anywhere) {
		t.Fatalf("step %d: scanned%s, want%s; anywhere%s, want%s", step, names(got.scanned), names(want.scanned), names(got.anywhere), names(want.anywhere))
	}
	if len(got.proposals) != len(want.proposals) {
		t.Fatalf("step %d: proposals %v, want %v", step, got.proposals, want.proposals)
	}
	for _, p := range want.proposals {
		if n := len(proposal.Distinct(append([]wire.Proposal{p}, got.proposals...))); n != len(got.proposals) {
			t.Fatalf("step %d: proposal %v is missing", step, p)
		}
	}
	if len(got.order) > 2*len(got.byName)+maxRemoved {
		t.Fatalf("step %d: %d places for %d peers", step, len(got.order), len(got.byName))
	}
}
