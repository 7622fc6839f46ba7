package ike

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"culvert/ike/budget"
	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// An authenticated peer may send its next request only after the response to the last one (RFC
// 7296, Section 2.3: our window is one). A peer that does not wait gets a response only to the
// first, and causes one computation at a time.
func TestRequestsThatDoNotWait(t *testing.T) {
	p := newPair(t, 3, func(p *testPair) { p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0 })
	p.up()
	a := newAttack(p)
	p.compute = func() time.Duration { return time.Second }
	main, _ := a.established(p.right)
	next := main.win.ExpectedID() + 1
	for range 20 {
		r := a.newRogue(p.right)
		offer := testIKEProposal
		offer.Number, offer.SPI = 1, binary.BigEndian.AppendUint64(nil, uint64(r.spi))
		a.asPeer(p.right, wire.CreateChildSA, &wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: r.nonce}, &wire.KE{Group: wire.GroupX25519, Data: r.ke.public})
	}
	if n := len(p.right.e.jobs.waiting); n != 1 {
		t.Errorf("%d computations, want 1", n)
	}
	if main.win.ExpectedID() != next {
		t.Errorf("the window moved on to %d without an answer, want %d", main.win.ExpectedID(), next)
	}
	p.drive(5 * time.Second)
	p.wantSound()
}

// The peer may create and delete Child SAs, and rekey the IKE SA without deleting the old ones: the
// state that stays is bounded.
func TestPeerThatMakesWithoutEnd(t *testing.T) {
	p := newPair(t, 3, func(p *testPair) { p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0 })
	p.up()
	a := newAttack(p)
	for range 100 {
		offers := a.childRequest(nil)
		a.asPeer(p.right, wire.CreateChildSA, offers...)
		spi := firstOf[*wire.SA](offers).Proposals[0].SPI
		a.asPeer(p.right, wire.Informational, &wire.Delete{Protocol: wire.ProtoESP, SPISize: 4, SPIs: [][]byte{spi}})
	}
	if n := len(p.right.plane.sas); n > maxLingering+1 {
		t.Errorf("%d Child SAs in the dataplane", n)
	}
	for range 40 {
		r := a.newRogue(p.right)
		offer := testIKEProposal
		offer.Number, offer.SPI = 1, binary.BigEndian.AppendUint64(nil, uint64(r.spi))
		main, keys := a.established(p.right)
		keys.requests[reqKey{!main.initiator, main.win.ExpectedID()}] = &tapRequest{ni: r.nonce, spi: offer.SPI, ke: r.ke.public, group: wire.GroupX25519}
		a.asPeer(p.right, wire.CreateChildSA, &wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: r.nonce}, &wire.KE{Group: wire.GroupX25519, Data: r.ke.public})
		p.drive(10 * time.Millisecond)
	}
	if n := len(p.right.e.sas.bySPI); n > maxRedundant+1 {
		t.Errorf("%d IKE SAs", n)
	}
}

// A datagram without a source is dropped, since no source could be charged for its half-open IKE
// SA.
func TestDatagramFromNowhere(t *testing.T) {
	p := newPair(t, 1, nil)
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		pk.src = netip.AddrPort{}
		return link(pk)
	}
	p.left.connect("")
	p.drive(time.Minute)
	if e := p.right.e; len(e.sas.bySPI) != 0 || e.sas.halfOpen.Count() != 0 || e.Counters()["ike_malformed"] == 0 {
		p.fatalf("%d IKE SAs, %d half-open ones, counters %v", len(e.sas.bySPI), e.sas.halfOpen.Count(), e.Counters())
	}
}

// flood sends spoofed IKE_SA_INIT requests, all of them with different addresses, SPIs and nonces.
type flood struct {
	a *attack
	n uint32
}

func (f *flood) send(count int) {
	r := f.a.newRogue(f.a.right)
	data := r.message(r.payloads())
	nonce := len(data) - 16
	var fx Effects
	for range count {
		f.n++
		binary.BigEndian.PutUint32(data, f.n)
		binary.BigEndian.PutUint32(data[nonce:], f.n)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, byte(f.n >> 16), byte(f.n >> 8), byte(f.n)}), uint16(1024+f.n%50000))
		fx.List = fx.List[:0]
		f.a.right.e.Handle(f.a.now, Datagram{Path: ipsec.UDPPath(f.a.right.home(), from), Data: data}, &fx)
	}
}

// Row 47: a flood of spoofed IKE_SA_INIT requests leaves no more state than the first few of them,
// and tunnels stay up.
func TestSpoofedFlood(t *testing.T) {
	p := newPair(t, 3, nil)
	p.up()
	f := &flood{a: newAttack(p)}
	e := p.right.e
	f.send(20000)
	if limit := e.cfg.Limits.CookieThreshold; len(e.sas.bySPI) > 1 || len(e.sas.halfOpen.bySPI) > limit+1 || len(e.jobs.waiting) > limit || e.timers.Len() > 2*limit {
		t.Errorf("%d IKE SAs, %d half-open ones, %d computations, %d timers for a limit of %d", len(e.sas.bySPI), len(e.sas.halfOpen.bySPI), len(e.jobs.waiting), e.timers.Len(), limit)
	}
	ref := p.left.rekey("")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	ref = p.right.rekey("lan")
	p.drive(10 * time.Second)
	p.wantDone(p.right, ref, "")
	p.wantTunnel()
}

// BenchmarkSpoofedInit measures one such request.
func BenchmarkSpoofedInit(b *testing.B) {
	p := newPair(b, 3, nil)
	f := &flood{a: newAttack(p)}
	b.ReportAllocs()
	f.send(b.N)
}

// Cookies do not stop a source that can receive them. One address gets its share of the half-open
// IKE SAs, whether it stops before IKE_AUTH or is refused there, and others still get through.
func TestOneCallerCannotFillTheTable(t *testing.T) {
	p := newPair(t, 3, func(p *testPair) {
		p.right.config.Limits = EngineLimits{MaxHalfOpen: 4 * 64, CookieThreshold: 4 * 64}
	})
	a := newAttack(p)
	var last *rogue
	for range 100 {
		r := a.newRogue(p.right)
		r.sendInit(r.payloads())
		if r.keys != nil {
			last = r
		}
	}
	if n := p.right.e.sas.halfOpen.Count(); n != 4 {
		t.Errorf("%d half-open IKE SAs, want 4", n)
	}
	last.send(wire.IKEAuth, 1, last.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")}))
	if n := p.right.e.sas.halfOpen.Count(); n != 4 {
		t.Errorf("%d IKE SAs that are not authenticated after a refusal, want 4", n)
	}
	p.up()
	p.drive(time.Minute)
	if n := p.right.e.sas.halfOpen.Count(); n != 0 {
		t.Errorf("%d callers stay", n)
	}
}

// TestStrangersShareIsFull has strangers of many networks begin as many IKE SAs as all of them may,
// with valid cookies: one more is refused, and a peer at its configured address gets in.
func TestStrangersShareIsFull(t *testing.T) {
	const all, reserve = 64, 8
	p := newPair(t, 3, func(p *testPair) {
		p.right.config.Limits = EngineLimits{MaxHalfOpen: all, CookieThreshold: 4}
	})
	a := newAttack(p)
	for i := range all {
		r := a.newRogue(p.right)
		r.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 1}), 500)
		r.sendInitWithCookie()
		if full := i >= all-reserve; (r.keys == nil) != full {
			a.fatalf("stranger %d is let in: %t", i, !full)
		}
	}
	sent, refused := p.right.e.Counters()["ike_cookie_sent"], p.right.e.Counters()["ike_half_open_limit"]
	if n := p.right.e.sas.halfOpen.Count(); n != all-reserve || refused != reserve || sent == 0 {
		t.Errorf("%d half-open IKE SAs, %d refused, %d cookies", n, refused, sent)
	}
	p.up()
	if n := p.right.e.sas.halfOpen.Count(); n != all-reserve {
		t.Errorf("%d half-open IKE SAs: the strangers' are gone", n)
	}
}

// TestAddressOfALateIKESA: an address that no peer is configured with, and from which an IKE SA was
// established, gets in while the strangers' share is full. Another one does not.
func TestAddressOfALateIKESA(t *testing.T) {
	p := newPair(t, 3, func(p *testPair) {
		p.right.peers[0].Remote = nil
		p.right.config.Limits = EngineLimits{MaxHalfOpen: 64, CookieThreshold: 4}
	})
	a := newAttack(p)
	p.up()
	p.left.disconnect("")
	p.drive(2 * time.Second)
	for i := range 64 {
		r := a.newRogue(p.right)
		r.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 1}), 500)
		r.sendInitWithCookie()
	}
	late := a.newRogue(p.right)
	late.from = attacker
	late.sendInitWithCookie()
	if refused := p.right.e.Counters()["ike_half_open_limit"]; late.keys != nil || refused != 8+1 {
		a.fatalf("a stranger is let in: %t; %d are refused", late.keys != nil, refused)
	}
	p.up()
}

// sendInitWithCookie sends the request, and again with the cookie that is demanded, if one is.
func (r *rogue) sendInitWithCookie() {
	ps, before := r.payloads(), len(r.a.replies)
	r.sendInit(ps)
	for _, pk := range r.a.replies[before:] {
		if n, ok := wire.FindNotify(pk.msg.payloads, wire.Cookie); ok {
			r.sendInit(append([]wire.Payload{&wire.Notify{Kind: wire.Cookie, Data: n.Data}}, ps...))
		}
	}
}

func TestLongInit(t *testing.T) {
	p := newPair(t, 3, nil)
	a := newAttack(p)
	r := a.newRogue(p.right)
	r.sendInit(append(r.payloads(), &wire.Notify{Kind: 40000, Data: make([]byte, maxInit)}))
	if len(a.replies) != 0 || p.right.e.sas.halfOpen.Count() != 0 {
		t.Errorf("%d replies, %d half-open", len(a.replies), p.right.e.sas.halfOpen.Count())
	}
}

// A request with very many unwanted proposals costs little more than its refusal: the explanation
// for operators is bounded.
func TestFloodOfProposals(t *testing.T) {
	p := newPair(t, 3, nil)
	a := newAttack(p)
	for range 50 {
		r := a.newRogue(p.right)
		r.sendRefused(255)
		p.now = p.now.Add(time.Millisecond)
	}
	if n := len(p.right.notices); n > budget.MaxRefusals {
		t.Errorf("%d notices", n)
	}
	if len(a.replies) != 50 {
		t.Errorf("%d replies, want one each", len(a.replies))
	}
}

// sendRefused sends a request with the given number of proposals of ESP, from a port of its own.
func (r *rogue) sendRefused(proposals int) {
	ps := r.payloads()
	ps[0] = &wire.SA{Proposals: make([]wire.Proposal, proposals)}
	for i := range proposals {
		ps[0].(*wire.SA).Proposals[i] = wire.Proposal{Number: uint8(i + 1), Protocol: wire.ProtoESP}
	}
	from := netip.AddrPortFrom(attacker.Addr(), 1000+uint16(r.a.forged))
	var fx Effects
	r.victim.e.Handle(r.a.now, Datagram{Path: ipsec.UDPPath(r.victim.home(), from), Data: r.message(ps)}, &fx)
	for _, f := range fx.List {
		r.victim.do(f)
	}
}

// BenchmarkRefusedProposals measures the most expensive of such requests.
func BenchmarkRefusedProposals(b *testing.B) {
	p := newPair(b, 3, nil)
	r := newAttack(p).newRogue(p.right)
	b.ReportAllocs()
	for range b.N {
		r.sendRefused(255)
	}
}

// spelling returns an identity with the case of its letters varied, a different one for each of 256
// numbers.
func spelling(id identity.ID, n int) identity.ID {
	name := []byte(id.Data)
	for bit, i := 0, 0; bit < 8; i++ {
		if 'a' <= name[i] && name[i] <= 'z' {
			name[i] -= byte(n>>bit&1) * ('a' - 'A')
			bit++
		}
	}
	id.Data = string(name)
	return id
}

// TestOneIdentityInManySpellings: calls of one identity have one bound, however it is spelt.
func TestOneIdentityInManySpellings(t *testing.T) {
	const calls = 200
	c := newCrowd(t)
	gateway := crowdPeer(false, 0)
	callers := crowdPeers(true, calls)
	for i := range callers {
		callers[i].LocalID, callers[i].RemoteID = spelling(gateway.RemoteID, i), gateway.LocalID
		callers[i].Children = crowdPeer(true, 0).Children
	}
	c.handle(c.right, SetPeers{Peers: []Peer{gateway}})
	c.handle(c.left, SetPeers{Peers: callers})
	for i := range calls {
		c.handle(c.left, Connect{Peer: callers[i].Name})
		usable := 0
		for _, s := range c.right.sas.bySPI {
			if s.usable() {
				usable++
			}
		}
		if want := min(i+1, maxRedundant); usable != want {
			t.Fatalf("after %d calls: %d IKE SAs, want %d", i+1, usable, want)
		}
	}
}
