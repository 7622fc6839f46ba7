package ike

import (
	"io"
	"net/netip"
	"reflect"
	"runtime"
	"testing"
	"time"

	"culvert/ike/budget"
	"culvert/ike/proposal"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Bounds of the heap that half-open IKE SAs take, in bytes: one that was begun with an elliptic
// curve, by a request of 233 octets or by our own with the default proposals, and all of them when
// each holds as many fragments as it may.
const (
	mostPerHalfOpen    = 512
	mostForAllHalfOpen = 16 << 20
)

// A crush is strangers who begin IKE SAs with a gateway and do not authenticate them: 16 of each
// address, and 64 of each network.
type crush struct {
	*crowd
	group  wire.TransformID
	offers []wire.Proposal      // of a request
	size   int                  // likewise
	from   func(int) netip.Addr // their addresses
	cookie bool                 // requests have one
}

// quickKEs are key exchanges that compute nothing: values are random, and of the right length.
type quickKEs struct{ random io.Reader }

type quickKE struct{ public, shared []byte }

func (q quickKEs) octets(n int) []byte { b := make([]byte, n); _, _ = q.random.Read(b); return b }

func (q quickKEs) New(group wire.TransformID) (suite.KeyExchange, error) {
	return &quickKE{q.octets(suite.PublicSize(group)), q.octets(32)}, nil
}

func (quickKEs) Check(wire.TransformID, []byte) error { return nil }
func (quickKEs) Dear(wire.TransformID) bool           { return false }

func (k *quickKE) Public() []byte                { return k.public }
func (k *quickKE) Shared([]byte) ([]byte, error) { return k.shared, nil }

func newCrush(tb testing.TB, limits EngineLimits) *crush {
	c := &crush{crowd: newCrowd(tb), group: wire.GroupX25519, from: func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 14), byte(i >> 6), byte(i >> 4)})
	}}
	c.right.cfg.KE = suite.SystemGroups{}
	c.right.cfg.Limits = limits.withDefaults()
	c.handle(c.right, SetPeers{Peers: crowdPeers(false, 1)})
	c.offers = []wire.Proposal{testIKEProposal}
	c.offers[0].Number = 1
	return c
}

// path is that of a stranger.
func (c *crush) path(i int) ipsec.Path {
	return ipsec.UDPPath(netip.AddrPortFrom(crowdRight, 500), netip.AddrPortFrom(c.from(i), 500))
}

// begin has the i-th stranger send a request, from behind a NAT.
func (c *crush) begin(i int) {
	random := seededRand(uint64(i), "stranger")
	octets := func(n int) []byte { b := make([]byte, n); _, _ = random.Read(b); return b }
	m := wire.Message{Header: wire.Header{InitiatorSPI: wire.SPI(i + 1), MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true}, Payloads: []wire.Payload{
		&wire.SA{Proposals: c.offers}, &wire.KE{Group: c.group, Data: octets(suite.PublicSize(c.group))}, &wire.Nonce{Data: octets(32)},
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: octets(20)}, &wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: natHash(wire.SPI(i+1), 0, c.path(i).Local())},
		&wire.Notify{Kind: wire.FragmentationSupported}, &wire.VendorID{Data: ableUDP.octets()}}}
	if c.cookie {
		m.Payloads = append([]wire.Payload{&wire.Notify{Kind: wire.Cookie, Data: octets(cookieLen)}}, m.Payloads...)
	}
	data := m.AppendTo(nil)
	c.size = len(data)
	c.one(c.right, Datagram{Path: c.path(i), Data: data})
	c.wire = nil
}

// fragments sends the beginning of an IKE_AUTH request of three parts of the given size, of which
// the last does not come.
func (c *crush) fragments(h *halfOpen, part int) {
	e := c.right
	ni, _ := wire.Find[*wire.Nonce](parsedRequest(h.requestData()))
	keys, err := e.newKeys(h.spis(), true, h.chosen(), noncePair{Ni: ni.Data, Nr: h.nonce()}, nil, func(k *suite.KeySchedule) error {
		k.Resume(h.skeyseed())
		return nil
	})
	if err != nil {
		c.tb.Fatal(err)
	}
	header := wire.Header{InitiatorSPI: h.spis().I, ResponderSPI: h.spi, Exchange: wire.IKEAuth, Initiator: true, MessageID: 1}
	datagrams, err := keys.out.SealFragments(header, []wire.Payload{&wire.VendorID{Data: make([]byte, 3*part-100)}}, part+60)
	if err != nil || len(datagrams) != 3 {
		c.tb.Fatalf("%d fragments, %v", len(datagrams), err)
	}
	for _, data := range datagrams[:2] {
		c.one(e, Datagram{Path: h.path, Data: data})
		c.wire = nil
	}
}

// TestHalfOpenCostsHalfAKilobyte bounds the heap for each half-open IKE SA. The request is a part
// of it, packed, because AUTH covers it (RFC 7296, Section 2.15). Our own costs no more than a
// short one, though its default proposals are long.
func TestHalfOpenCostsHalfAKilobyte(t *testing.T) {
	c, got := newCrush(t, EngineLimits{CookieThreshold: 1 << 20, MaxHalfOpen: 8192}).each()
	if got > mostPerHalfOpen {
		t.Errorf("a half-open IKE SA takes %d bytes, want at most %d", got, mostPerHalfOpen)
	}
	if size := reflect.TypeFor[halfOpen]().Size(); size > 144 {
		t.Errorf("a halfOpen has %d bytes, want 144: a size of the allocator", size)
	}
	short := c.size
	c = newCrush(t, EngineLimits{CookieThreshold: 1 << 20, MaxHalfOpen: 8192})
	peers := crowdPeers(false, 1)
	peers[0].Proposals, c.offers = suite.DefaultIKEProposals(), suite.DefaultIKEProposals()
	c.handle(c.right, SetPeers{Peers: peers})
	c, got = c.each()
	if ours := ownRequest(t, suite.PublicSize(c.group)); c.size != ours || ours <= short {
		t.Errorf("a request of %d octets, want %d as ours", c.size, ours)
	}
	if got > mostPerHalfOpen {
		t.Errorf("it takes %d bytes for a request of %d octets, want at most %d", got, c.size, mostPerHalfOpen)
	}
}

// TestHalfOpenOfAnyNetwork has each stranger begin one from a network of its own, with a cookie and
// the default proposals, or those with the group. AUTH covers both public values, so that what they
// are longer than those of Curve25519 comes on top, up to a size of the allocator.
func TestHalfOpenOfAnyNetwork(t *testing.T) {
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}) }
	v6 := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i), 7, 7, 15: 1})
	}
	for _, s := range []struct {
		group wire.TransformID
		from  func(i int) netip.Addr
	}{
		{wire.GroupX25519, v4}, {wire.GroupX25519, v6}, {wire.GroupX448, v4}, {wire.GroupECP256, v6}, {wire.GroupECP384, v4}, {wire.GroupECP521, v6},
		{wire.GroupMODP2048, v4}, {wire.GroupMODP3072, v6}, {wire.GroupMODP4096, v4},
	} {
		c := newCrush(t, EngineLimits{CookieThreshold: 1 << 20, MaxHalfOpen: 8192})
		c.right.cfg.KE = quickKEs{seededRand(1, "quick")}
		peers := crowdPeers(false, 1)
		peers[0].Proposals, c.offers = nil, suite.DefaultIKEProposals()
		for _, p := range c.offers {
			peers[0].Proposals = append(peers[0].Proposals, withGroup(p, s.group))
		}
		if !proposal.OffersGroup(c.offers, s.group) {
			c.offers = peers[0].Proposals
		}
		c.group, c.from, c.cookie = s.group, s.from, true
		c.handle(c.right, SetPeers{Peers: peers})
		c, got := c.each()
		values := 2 * (suite.PublicSize(s.group) - suite.PublicSize(wire.GroupX25519))
		if most := mostPerHalfOpen + values*9/8 + 40; values == 0 && got > mostPerHalfOpen || got > most {
			t.Errorf("%s, from %v: it takes %d bytes for a request of %d octets, want at most %d", wire.GroupName(s.group), s.from(0), got, c.size, most)
		}
	}
}

// TestHalfOpenSharesCredentials bounds the heap for each where the response asks for certificates
// of as many authorities as it can name, and has nobody keep what that is once the last is gone.
func TestHalfOpenSharesCredentials(t *testing.T) {
	c := newCrush(t, EngineLimits{CookieThreshold: 1 << 20, MaxHalfOpen: 8192})
	peers := crowdPeers(false, 1)
	peers[0].Certificates = &Certificates{Trust: authorities(16)}
	c.handle(c.right, SetPeers{Peers: peers})
	if n := len(c.right.peers.announcementFor(nil).all); n < 16*20 {
		t.Fatalf("%d octets are announced", n)
	}
	c, got := c.each()
	if got > mostPerHalfOpen {
		t.Errorf("a half-open IKE SA takes %d bytes, want at most %d", got, mostPerHalfOpen)
	}
	table := c.right.sas.halfOpen
	if n, users := len(table.announced.places), table.announced.list[0].records; n != 1 || users != len(table.bySPI) {
		t.Errorf("%d announcements, the first of %d half-open IKE SAs", n, users)
	}
	old := table.announced.text(table.first.announced)
	peers[0].Certificates = &Certificates{Trust: authorities(3)}
	c.handle(c.right, SetPeers{Peers: peers})
	if table.announced.text(table.first.announced) != old {
		t.Error("a reload changes the response that was sent")
	}
	for range 4096/maxExpired + 1 {
		c.later(halfOpenLife)
	}
	if n := len(table.announced.places); n != 0 || len(table.bySPI) != 0 {
		t.Errorf("%d announcements are left", n)
	}
}

// each has strangers begin 4096 half-open IKE SAs, and returns the bytes of the heap for each.
func (c *crush) each() (*crush, int) {
	const n = 4096
	for i := range 128 {
		c.begin(i)
	}
	before := heapInUse()
	for i := 128; i < n; i++ {
		c.begin(i)
	}
	got := int(heapInUse()-before) / (n - 128)
	c.tb.Logf("%d bytes for each half-open IKE SA, begun by a request of %d octets", got, c.size)
	if open := len(c.right.sas.halfOpen.bySPI); open != n || len(c.right.sas.bySPI) != 0 {
		c.tb.Errorf("%d half-open IKE SAs, want %d", open, n)
	}
	runtime.KeepAlive(c)
	return c, got
}

// ownRequest returns the length of our IKE_SA_INIT request with the default proposals, and with a
// public value of the given length.
func ownRequest(t *testing.T, public int) int {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Proposals = suite.DefaultIKEProposals() })
	p.script(true)
	p.left.connect("")
	m := p.wantSend("left asks", p.left, wire.IKESAInit, false, "...")
	return len(m.pk.data) - len(firstOf[*wire.KE](m.payloads).Data) + public
}

// TestHalfOpenChargesWhatItCosts compares the account with the heap.
func TestHalfOpenChargesWhatItCosts(t *testing.T) {
	for _, part := range []int{0, 500, 5000} {
		const n = 512
		c := newCrush(t, EngineLimits{CookieThreshold: 1 << 20, MaxHalfOpen: 1 << 20})
		before, charged := heapInUse(), 0
		for i := range n {
			c.begin(64 * i)
		}
		for h := c.right.sas.halfOpen.first; h != nil && part > 0; h = h.next {
			c.fragments(h, part)
		}
		charged = c.right.sas.halfOpen.Octets()
		if took := int(heapInUse() - before); took > charged || took < charged*6/10 {
			t.Errorf("fragments of %d octets: %d half-open IKE SAs take %d bytes of the heap, and are charged for %d", part, n, took, charged)
		}
		runtime.KeepAlive(c)
	}
}

// TestHalfOpenCostsWithFragments has the greatest number of half-open IKE SAs, all of which hold as
// many fragments as they may.
func TestHalfOpenCostsWithFragments(t *testing.T) {
	const n = 4096
	c := newCrush(t, EngineLimits{CookieThreshold: 1 << 20, MaxHalfOpen: 2 * n})
	before := heapInUse()
	for i := range n {
		c.begin(i)
	}
	for h := c.right.sas.halfOpen.first; h != nil; h = h.next {
		c.fragments(h, budget.MaxMessage/3)
	}
	took := heapInUse() - before
	t.Logf("%d half-open IKE SAs take %d bytes with fragments, and are charged for %d", n, took, c.right.sas.halfOpen.Octets())
	if refused := c.right.Counters()["ike_fragment_refused"]; took > mostForAllHalfOpen || refused == 0 {
		t.Errorf("they take more than %d, and %d fragments are refused", mostForAllHalfOpen, refused)
	}
	c.later(halfOpenLife + time.Second)
	if left := len(c.right.sas.halfOpen.bySPI) + c.right.sas.halfOpen.Octets(); left != 0 {
		t.Errorf("%d are left", left)
	}
	runtime.KeepAlive(c)
}

// TestHalfOpenRequestsAreCharged: long requests fill the room of their address and not that of
// others.
func TestHalfOpenRequestsAreCharged(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.config.Limits = EngineLimits{CookieThreshold: 1 << 20} })
	a, random := newAttack(p), seededRand(1, "vendor")
	for range 64 {
		r := a.newRogue(p.right)
		vendor := make([]byte, 7<<10)
		_, _ = random.Read(vendor)
		r.sendInit(append(r.payloads(), &wire.VendorID{Data: vendor}))
	}
	if n, most := p.right.e.sas.halfOpen.Octets(), (8<<20)/64; n > most || n < most-20<<10 {
		t.Errorf("one address holds %d octets, want nearly %d", n, most)
	}
	if p.right.e.Counters()["ike_half_open_limit"] == 0 {
		t.Error("no request is refused")
	}
	p.up()
}
