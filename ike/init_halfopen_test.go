package ike

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/ike/wire"
)

// halfOpenOf returns the only half-open IKE SA of an engine.
func halfOpenOf(t *testing.T, e *Engine) *halfOpen {
	t.Helper()
	if n := len(e.sas.halfOpen.bySPI); n != 1 {
		t.Fatalf("%d half-open IKE SAs, want one", n)
	}
	return e.sas.halfOpen.first
}

// TestCopyOfInit has a copy of the request get the response again, octet by octet, whatever was
// configured meanwhile, and for as long as the half-open IKE SA lives. A copy from another address,
// or after that, begins another one, with another SPI.
func TestCopyOfInit(t *testing.T) {
	a := newAttack(newPair(t, 1, func(p *testPair) { p.right.peers[0].Encap = EncapAlways }))
	r := a.newRogue(a.right)
	data := r.message(append(r.payloads(), &wire.Notify{Kind: wire.FragmentationSupported}))
	send := func() []byte {
		before := len(a.replies)
		a.inject(a.right, r.from, data)
		a.drive(100 * time.Millisecond)
		if len(a.replies) != before+1 {
			a.fatalf("%d responses, want one", len(a.replies)-before)
		}
		return a.replies[before].data
	}
	first := send()
	spi := halfOpenOf(t, a.right.e).spi
	other := slices.Clone(a.right.peers)
	other[0].Encap, other[0].Fragment, other[0].Credential = EncapNever, 0, PSK("another")
	a.right.handle(SetPeers{Peers: other})
	for range 29 {
		if !bytes.Equal(send(), first) {
			a.fatalf("a copy gets another response")
		}
		a.drive(900 * time.Millisecond)
	}
	if n := a.right.e.jobs.last; n != 1 || halfOpenOf(t, a.right.e).spi != spi {
		a.fatalf("%d computations, want one", n)
	}
	a.drive(2 * time.Second)
	if n := len(a.right.e.sas.halfOpen.bySPI) + a.right.e.sas.halfOpen.Count() + a.right.e.sas.halfOpen.Octets(); n != 0 {
		a.fatalf("%d are left after halfOpenLife", n)
	}
	again := send()
	if h, err := wire.ParseHeader(again); err != nil || h.ResponderSPI == spi || h.InitiatorSPI != r.spi {
		a.fatalf("after halfOpenLife the SPI is %v as before, or %v", h.ResponderSPI, err)
	}
	r.from = netip.MustParseAddrPort("203.0.113.67:500")
	send()
	if n := len(a.right.e.sas.halfOpen.bySPI); n != 2 {
		a.fatalf("%d half-open IKE SAs, want one of each address", n)
	}
}

// TestCopyOfInitAfterSecret finds the half-open IKE SA of a copy over a change of the secret.
func TestCopyOfInitAfterSecret(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	a.newRogue(a.right).sendInit(a.newRogue(a.right).payloads()) // makes the secret
	a.drive(20 * time.Second)
	r := a.newRogue(a.right)
	r.sendInit(r.payloads())
	a.drive(20 * time.Second)
	jobs := a.right.e.jobs.last
	r.sendInit(r.payloads())
	if n := len(a.right.e.sas.halfOpen.bySPI); n != 1 || a.right.e.jobs.last != jobs {
		t.Errorf("%d half-open IKE SAs, %d computations more", n, a.right.e.jobs.last-jobs)
	}
}

// TestHalfOpenIsCleared has the key of a half-open IKE SA cleared however it ends.
func TestHalfOpenIsCleared(t *testing.T) {
	for name, end := range map[string]func(a *attack){
		"its time is up": func(a *attack) { a.drive(halfOpenLife) },
		"shutdown":       func(a *attack) { a.right.handle(Shutdown{}) },
		"it is wrongly authenticated, and that was long ago": func(a *attack) {
			a.drive(halfOpenLife / 2)
			h := a.right.e.sas.halfOpen.first
			r := a.newRogue(a.right)
			r.id = [2]wire.SPI{h.spis().I, h.spi}
			r.keys = a.tap.sas[r.id]
			r.send(wire.IKEAuth, 1, r.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")}))
			if !h.refused() {
				a.fatalf("it is not refused")
			}
			a.drive(halfOpenLife - time.Second)
			halfOpenOf(t, a.right.e)
			a.drive(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttack(newPair(t, 1, nil))
			r := a.newRogue(a.right)
			r.sendInit(r.payloads())
			key := halfOpenOf(t, a.right.e).skeyseed()
			if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
				a.fatalf("the key is %x", key)
			}
			end(a)
			if n := len(a.right.e.sas.halfOpen.bySPI) + a.right.e.sas.halfOpen.Octets() + len(a.right.e.sas.bySPI); n != 0 {
				a.fatalf("%d are left", n)
			}
			if !bytes.Equal(key, make([]byte, 32)) {
				a.fatalf("the key is not cleared")
			}
		})
	}
}

// TestManyHalfOpenEnd ends many half-open IKE SAs in the order in which they began, in parts.
func TestManyHalfOpenEnd(t *testing.T) {
	c := newCrush(t, EngineLimits{CookieThreshold: 1 << 20})
	const n = 3*maxExpired + 1
	for i := range n {
		c.begin(i)
		c.now = c.now.Add(time.Millisecond)
	}
	table := c.right.sas.halfOpen
	c.now = epoch.Add(halfOpenLife + 9*time.Millisecond)
	c.one(c.right, Wake{})
	if left := len(table.bySPI); left != n-10 || table.first.spis().I != 11 {
		t.Errorf("%d are left, of which %v is the first", left, table.first.spis().I)
	}
	c.now = c.now.Add(time.Hour)
	for left := n - 10; left > 0; left -= maxExpired {
		if len(table.bySPI) != left || c.right.Deadline().After(c.now) {
			t.Fatalf("%d are left, want %d; the deadline is %v", len(table.bySPI), left, c.right.Deadline())
		}
		c.one(c.right, Wake{})
	}
	if len(table.bySPI) != 0 || table.last != nil || table.due.Running() || c.right.Counters()["ike_half_open_expired"] != n {
		t.Errorf("%d are left, counters %v", len(table.bySPI), c.right.Counters())
	}
}

// TestUnpackedRequestIsCharged: the IKE SA that handles IKE_AUTH has the request as it came,
// however short it is when packed.
func TestUnpackedRequestIsCharged(t *testing.T) {
	sa := &ikeSA{setup: &setup{}}
	h := &halfOpen{late: &lateHalfOpen{sa: sa}}
	before := h.octets()
	sa.setup.request = make([]byte, 5000)
	if got := h.octets() - before; got != 5000 {
		t.Errorf("a request of 5000 octets is charged as %d", got)
	}
	sa.setup = nil // established
	if got := h.octets(); got != before {
		t.Errorf("once established, %d octets are charged, want %d", got, before)
	}
}
