package ike

import (
	"fmt"
	"math/rand/v2"
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

// Shutdown deletes everything at the peers, and ends at once when they answer.
func TestShutdown(t *testing.T) {
	p := bootPair(t)
	p.left.handle(Shutdown{})
	p.drive(100 * time.Millisecond)
	if !p.left.stopped {
		t.Fatal("not stopped, though the peer has answered")
	}
	p.wantNoChild("lan")
	if s := p.right.e.peers.order[0].party.main(); s != nil {
		t.Error("the peer still has the IKE SA")
	}
	for _, in := range []Input{Connect{Peer: "right", Ref: 77}, Acquire{Policy: p.left.policy("lan")}, Rekey{Peer: "right", Ref: 78}, SetPeers{}, Shutdown{}} {
		p.left.handle(in)
	}
	if p.left.done[77] == nil || p.left.done[78] == nil {
		t.Error("commands succeed after Shutdown")
	}
}

// A peer that does not answer delays Shutdown for a short time only. Nothing stays in the
// dataplane.
func TestShutdownUnanswered(t *testing.T) {
	p := bootPair(t)
	p.right.kill()
	p.left.handle(Shutdown{})
	p.drive(shutdownLimit / 2)
	if p.left.stopped {
		t.Fatal("stopped without waiting for the peer")
	}
	p.drive(shutdownLimit)
	if !p.left.stopped || len(p.left.plane.sas) != 0 {
		t.Errorf("stopped %v with %d SAs left", p.left.stopped, len(p.left.plane.sas))
	}
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

// A peer without an address here waits, and says so; it is up when the other side calls.
func TestAnswersOnly(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.right.peers[0].Remote = nil
		p.right.peers[0].Children[0].Start = StartBoot
	})
	p.drive(time.Minute)
	if st := p.right.e.Status()[0]; !strings.Contains(st.Reason, "waiting for the peer to connect") {
		t.Errorf("reason %q", st.Reason)
	}
	p.up()
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
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

func checkPeerTable(t *testing.T, step int, got *peerTable) {
	t.Helper()
	want := newPeerTable()
	for p := range got.all() {
		twin := *p
		want.add(&twin)
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

// Lost messages of a shutdown are retransmitted: the Delete, and the request that it must wait for
// (the window is one).
func TestShutdownOverALossyLink(t *testing.T) {
	for _, busy := range []bool{false, true} {
		p := bootPair(t)
		link := p.link
		lost := 0
		p.link = func(*testPacket) []time.Duration { lost++; return nil }
		if busy {
			p.left.rekey("lan")
		} else {
			p.left.handle(Shutdown{})
		}
		p.link = link
		if busy {
			p.left.handle(Shutdown{})
		}
		p.drive(shutdownLimit - time.Millisecond)
		if lost == 0 || !p.left.stopped {
			t.Fatalf("busy=%t: %d datagrams lost, stopped %t", busy, lost, p.left.stopped)
		}
		if s := p.right.e.peers.order[0].party.main(); s != nil {
			t.Errorf("busy=%t: the peer still has the IKE SA", busy)
		}
	}
}

// TestNewAddressesAreAllTried: a round of tries goes once through the addresses that the peer has
// now.
func TestNewAddressesAreAllTried(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.link = func(*testPacket) []time.Duration { return nil } })
	p.left.resolved(netip.MustParseAddr("192.0.2.8"), netip.MustParseAddr("192.0.2.9"))
	ref := p.left.connect("lan")
	for range 600 {
		if p.drive(time.Second); p.left.answered[ref] {
			break
		}
	}
	p.wantDone(p.left, ref, "no answer to IKE_SA_INIT")
	if n := p.left.sentRequests[wire.IKESAInit]; n != 2 {
		t.Errorf("%d tries before the command is answered, want one at each of two addresses", n)
	}
}
