package ike

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/ike/budget"
	"culvert/ike/wire"
	"culvert/internal/certtest"
	"culvert/internal/ipsec"
)

// TestStrangersFragments has half-open IKE SAs hold fragments: what strangers hold together is
// bounded, known addresses have a reserve beyond it, one address has its share, and what an IKE SA
// gives up is free again.
func TestStrangersFragments(t *testing.T) {
	e := newPair(t, 1, nil).right.e
	e.handling.now = epoch
	table := e.sas.halfOpen
	hold := func(from netip.Addr) bool {
		h := &halfOpen{path: ipsec.UDPPath(netip.AddrPort{}, netip.AddrPortFrom(from, 500)), spi: wire.SPI(len(table.bySPI) + 1), late: &lateHalfOpen{}, data: make([]byte, nonceLen)}
		table.insert(h)
		h.late.win.Fragments(wire.Header{}).Add(&wire.EncryptedFragment{Number: 1, Total: 2}, make([]byte, budget.MaxMessage), [32]byte{}, budget.MaxMessage)
		return table.hold(h)
	}
	nth := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{100, byte(n >> 4), 0, byte(n)}) }
	size := octetsOfHalfOpen + nonceLen + octetsOfLate + octetsOfKeys + budget.MaxMessage*9/8 + 2*32
	count := func(from func(int) netip.Addr) (n int) {
		for hold(from(n)) {
			n++
		}
		return n
	}
	one := netip.MustParseAddr("203.0.113.1")
	if n, want := count(func(int) netip.Addr { return one }), (8<<20)/64/size; n != want {
		t.Errorf("a stranger holds %d messages, want %d", n, want)
	}
	if n, most := count(nth), (8<<20)/size; n < most-20 || n > most {
		t.Errorf("strangers hold %d messages, want %d at most", n, most)
	}
	lately := netip.MustParseAddr("198.51.100.1")
	table.Authenticated(lately)
	if !hold(netip.MustParseAddr("192.0.2.1")) || !hold(lately) {
		t.Error("the configured peer, or one that lately had an IKE SA, is refused")
	}
	if n, want := count(func(int) netip.Addr { return lately }), (12<<20)/16/size-1; n != want {
		t.Errorf("one that lately had an IKE SA holds %d messages more, want %d", n, want)
	}
	for i := range 200 {
		table.Authenticated(nth(i))
	}
	count(nth)
	if most := 12 << 20; table.Octets() > most || table.Octets() < most-size {
		t.Errorf("%d octets are held, want nearly %d", table.Octets(), most)
	}
	table.dropAll()
	if n := table.Octets(); n != 0 {
		t.Errorf("%d octets stay charged", n)
	}
}

// TestFragmentsWithoutRoom: a further message of a half-open IKE SA whose fragments there is no
// room for is dropped, and no longer charged for.
func TestFragmentsWithoutRoom(t *testing.T) {
	e := newPair(t, 1, nil).right.e
	table := e.sas.halfOpen
	from := netip.MustParseAddr("203.0.113.1")
	h := &halfOpen{path: ipsec.UDPPath(netip.AddrPort{}, netip.AddrPortFrom(from, 500)), spi: 1, late: &lateHalfOpen{}, data: make([]byte, nonceLen)}
	table.insert(h)
	s := e.saOf(false, saHalfOpen, h.spi)
	s.half, h.late.sa = h, s
	table.hold(h)
	before := table.Octets()
	r := s.win.Fragments(wire.Header{})
	add := func(number uint16) bool {
		r.Add(&wire.EncryptedFragment{Number: number, Total: 3}, make([]byte, 1000), [32]byte{}, budget.MaxMessage)
		return s.chargeFragments(r)
	}
	if !add(1) || table.Octets() <= before {
		t.Fatal("the first fragment is refused, or not charged for")
	}
	room := (8<<20)/64 - table.Octets() - 1000
	other := table.Add(from, room)
	if add(2) || r.Held() != 0 || table.Octets() != before+room {
		t.Errorf("%d octets are held, and %d are charged, want %d", r.Held(), table.Octets()-room, before)
	}
	table.Remove(from, &other)
}

// TestLongMessageBeforeAuth sends IKE_AUTH in fragments: one of 15 KB is handled, one of more than
// 16 KB is not kept.
func TestLongMessageBeforeAuth(t *testing.T) {
	for size, want := range map[int]int{15 << 10: 1, 17 << 10: 0} {
		a := newAttack(newPair(t, 1, nil))
		r := a.newRogue(a.right)
		r.sendInit(append(r.payloads(), &wire.Notify{Kind: wire.FragmentationSupported}))
		before := len(a.replies)
		ps := append(r.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")}), &wire.VendorID{Data: make([]byte, size)})
		plain := wire.AppendPayloads(nil, ps)
		h := wire.Header{InitiatorSPI: r.id[0], ResponderSPI: r.id[1], MajorVersion: 2, Exchange: wire.IKEAuth, Initiator: true, MessageID: 1}
		const part = 1000
		total := (len(plain) + part - 1) / part
		first := wire.FirstType(ps)
		for n := 1; n <= total; n++ {
			piece := plain[:min(part, len(plain))]
			plain = plain[len(piece):]
			a.inject(a.right, attacker, a.sealFragment(r.keys, h, first, uint16(n), uint16(total), piece))
			first = 0
			if held := a.right.e.sas.halfOpen.Octets(); held > budget.MaxMessage*9/8+octetsOfHalfOpen+octetsOfLate+octetsOfSA+2048 {
				t.Fatalf("%d octets are held", held)
			}
		}
		if got := len(a.replies) - before; got != want {
			t.Errorf("%d octets: %d answers, want %d", size, got, want)
		}
		a.drive(time.Minute)
		if held := a.right.e.sas.halfOpen.Octets(); held != 0 {
			t.Errorf("%d octets stay charged", held)
		}
	}
}

// TestPeerThatAsksTooMuch: an authenticated peer that sends requests without a pause gets
// TEMPORARY_FAILURE, and in the end nothing until it pauses. The IKE SA and its Child SAs live.
func TestPeerThatAsksTooMuch(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	a.up()
	counted := func(name string) uint64 { return a.right.e.Counters()[name] }
	ask := func(n int, ps ...wire.Payload) {
		for range n {
			a.asPeer(a.right, wire.CreateChildSA, ps...)
		}
	}
	// wrong protocols, so that it is the requests that are too many and not the Child SAs
	bad := &wire.Notify{Protocol: wire.ProtoIKE, Kind: wire.RekeySA, SPI: make([]byte, 4)}
	ask(560, a.childRequest(bad)...)
	if n := counted("ike_over_budget"); n != 0 {
		t.Errorf("%d requests are refused of the first 560", n)
	}
	ask(40, a.childRequest(bad)...)
	refused := counted("ike_over_budget")
	if later := counted("ike_over_budget_later"); refused == 0 || later == 0 || counted("ike_request_refused") != 560+40-later {
		t.Errorf("%d are refused for the budget, %d are left for later, counters %v", refused, later, a.right.e.Counters())
	}
	main, _ := a.established(a.right)
	before := main.win.ExpectedID()
	a.asPeer(a.right, wire.Informational)
	if main.win.ExpectedID() != before {
		t.Error("a liveness check beyond the budget is accepted")
	}
	a.drive(time.Second)
	a.asPeer(a.right, wire.Informational)
	if main.win.ExpectedID() != before+1 {
		t.Error("a liveness check is not answered after a pause")
	}
	a.wantTunnel()
	ref := a.right.rekey("")
	a.drive(5 * time.Second)
	a.wantDone(a.right, ref, "")
	if p := a.right.e.peers.order[0]; p.party.account == (budget.Account{}) {
		t.Error("a rekeyed IKE SA brings a new account")
	}
	ref = a.right.rekey("lan")
	a.drive(5 * time.Second)
	a.wantDone(a.right, ref, "")
}

// TestAllChildrenAtOnce rekeys as many Child SAs as an IKE SA may have, from both sides: nothing of
// it is beyond the budget.
func TestAllChildrenAtOnce(t *testing.T) {
	const n = 255
	p := newPair(t, 1, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].Children = nil
			for i := range n {
				s.peers[0].Children = append(s.peers[0].Children, testChild(s, fmt.Sprint("c", i), i))
			}
		}
	})
	p.left.connect("")
	p.drive(time.Minute)
	p.wantTunnel()
	for _, s := range []*testSide{p.left, p.right} {
		for i := range n {
			s.rekey(fmt.Sprint("c", i))
		}
	}
	p.drive(5 * time.Minute)
	for _, s := range []*testSide{p.left, p.right} {
		c := s.e.Counters()
		if c["ike_over_budget"]+c["ike_over_budget_later"]+c["ike_lines_limited"] != 0 {
			t.Errorf("%s: counters %v", s.name, c)
		}
		for _, st := range s.e.Status()[0].Children {
			if st.Rekeys == 0 {
				t.Fatalf("%s: %s was not rekeyed", s.name, st.Name)
			}
		}
	}
	p.wantTunnel()
}

// TestBadPublicValueOfAPeer: a rekeying with a public value that no honest peer sends is refused
// before anything is computed.
func TestBadPublicValueOfAPeer(t *testing.T) {
	for _, ike := range []bool{true, false} {
		a := newAttack(newPair(t, 1, func(p *testPair) {
			for _, s := range []*testSide{p.left, p.right} {
				s.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
			}
		}))
		a.up()
		r := a.newRogue(a.right)
		bad := append([]byte(nil), r.ke.public...)
		clear(bad[2:])
		p := withGroup(testESPProposal, wire.GroupX25519)
		p.Number, p.SPI = 1, []byte{0xba, 0xd0, 0, 1}
		c := a.right.peers[0].Children[0]
		ps := []wire.Payload{&wire.SA{Proposals: []wire.Proposal{p}}, &wire.Nonce{Data: r.nonce}, &wire.KE{Group: wire.GroupX25519, Data: bad}, wireTS(false, c.Remote), wireTS(true, c.Local)}
		if ike {
			p = testIKEProposal
			p.Number, p.SPI = 1, make([]byte, 8)
			p.SPI[0] = 1
			ps = []wire.Payload{&wire.SA{Proposals: []wire.Proposal{p}}, ps[1], ps[2]}
		}
		jobs := a.right.e.jobs.last
		a.asPeer(a.right, wire.CreateChildSA, ps...)
		if n := a.right.e.Counters()["ike_bad_key_exchange"]; n != 1 || a.right.e.jobs.last != jobs {
			t.Errorf("IKE SA %v: %d bad values counted, %d computations", ike, n, a.right.e.jobs.last-jobs)
		}
	}
}

// TestDearProofs: certificates that take long to verify are computed for a few strangers of a
// network at a time. The others count as lost, and are verified when they are sent again.
func TestDearProofs(t *testing.T) {
	c := newCertified(t, "p256")
	big := certtest.Template("big", "left.example.com")
	for range 300 {
		big.DNSNames = append(big.DNSNames, "a name of some length.example.com")
	}
	dear := &wire.Cert{Encoding: wire.CertX509Signature, Data: certtest.Sign(t, big, c.left.Key, c.root).Cert.Raw}
	a := newAttack(certifiedPair(t, c, nil))
	busy := true
	a.compute = func() time.Duration {
		if busy {
			return 10 * time.Second
		}
		return 0
	}
	e := a.right.e
	call := func(from string, certs ...*wire.Cert) (again func()) {
		r := a.newRogue(a.right)
		r.from = netip.AddrPortFrom(netip.MustParseAddr(from), 500)
		busy = false
		r.sendInitWithCookie()
		busy = true
		ps := r.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")})
		ps[1] = &wire.Auth{Method: wire.AuthDigitalSignature, Data: []byte{0}}
		for _, c := range certs {
			ps = append(ps, c)
		}
		again = func() { r.send(wire.IKEAuth, 1, ps) }
		again()
		return again
	}
	var last func()
	for i := range 10 {
		last = call(fmt.Sprintf("203.0.113.%d", i), dear)
	}
	const want = 2
	if n := len(e.jobs.waiting); n != want || e.Counters()["ike_half_open_limit"] != 10-want {
		t.Errorf("%d computations of one network, want %d: %v", n, want, e.Counters())
	}
	call("198.51.100.1", dear)
	call("203.0.113.77", &wire.Cert{Encoding: wire.CertX509Signature, Data: c.left.Cert.Raw})
	if n := len(e.jobs.waiting); n != want+2 {
		t.Errorf("%d computations with those of others, want %d", n, want+2)
	}
	a.drive(15 * time.Second)
	if last(); len(e.jobs.waiting) != 1 {
		t.Errorf("%d computations after the last one was sent again, want 1", len(e.jobs.waiting))
	}
	a.drive(2 * time.Minute)
	if n := len(e.jobs.waiting) + e.sas.halfOpen.Count(); n != 0 || e.sas.halfOpen.Busy(1) {
		t.Errorf("%d computations and half-open IKE SAs stay charged", n)
	}
}
