package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestInitHeader: an IKE_SA_INIT request has the message ID 0 and the Initiator flag (RFC 7296,
// Sections 2.2 and 3.1). Others leave no state, and get no response.
func TestInitHeader(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(h *wire.Header)
		kept int
	}{
		{"as it should be", func(*wire.Header) {}, 1},
		{"message ID 1", func(h *wire.Header) { h.MessageID = 1 }, 0},
		{"not from the initiator", func(h *wire.Header) { h.Initiator = false }, 0},
	} {
		p := newPair(t, 1, nil)
		a := newAttack(p)
		r := a.newRogue(p.left)
		m := wire.Message{Header: wire.Header{InitiatorSPI: r.spi, MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true}, Payloads: r.payloads()}
		tt.edit(&m.Header)
		a.inject(p.left, attacker, m.AppendTo(nil))
		if n := len(p.left.e.sas.halfOpen.bySPI); n != tt.kept {
			t.Errorf("%s: %d half-open IKE SAs, want %d", tt.name, n, tt.kept)
		}
		if n := p.left.e.Counters()["ike_malformed"]; n != uint64(1-tt.kept) {
			t.Errorf("%s: %d counted as malformed", tt.name, n)
		}
	}
}

// TestMalformedInitIsTold has the configured peer send first messages that no correct peer sends:
// the reason is kept with the peer, and no state is left.
func TestMalformedInitIsTold(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		edit         func(ps []wire.Payload) []wire.Payload
	}{
		{"nonce of 15 octets", "Nonce", func(ps []wire.Payload) []wire.Payload {
			return append(ps[:2], &wire.Nonce{Data: make([]byte, 15)})
		}},
		{"no key exchange", "missing KE payload", func(ps []wire.Payload) []wire.Payload { return slices.Delete(ps, 1, 2) }},
		{"two nonces", "duplicate Nonce payload", func(ps []wire.Payload) []wire.Payload { return append(ps, ps[2]) }},
		{"critical payload", "unsupported critical payload", func(ps []wire.Payload) []wire.Payload {
			return append(ps, &wire.Unknown{PayloadType: 190, Critical: true})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttack(newPair(t, 1, nil))
			r := a.newRogue(a.left)
			a.inject(a.left, a.right.home(), r.message(c.edit(r.payloads())))
			want := "unverified: " + a.right.home().String() + ": malformed IKE_SA_INIT request: "
			if why := a.left.e.peers.order[0].calls.Reason; !strings.HasPrefix(why, want) || !strings.Contains(why, c.reason) {
				t.Errorf("the reason is %q, want one with %q", why, c.reason)
			}
			if n := len(a.left.e.sas.halfOpen.bySPI); n != 0 {
				t.Errorf("%d IKE SAs are left", n)
			}
		})
	}
}

// TestBadPublicValueIsCheap sends requests of many addresses with a value that no honest peer
// sends: nothing is computed and no state is left, each is counted, and the reason is told.
func TestBadPublicValueIsCheap(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	e := a.left.e
	for i := range 300 {
		r := a.newRogue(a.left)
		r.ke.public = append([]byte(nil), r.ke.public...)
		clear(r.ke.public[2:])
		a.inject(a.left, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 500), r.message(r.payloads()))
	}
	if n := e.jobs.last; n != 0 || len(e.sas.halfOpen.bySPI) != 0 {
		t.Errorf("%d computations and %d half-open IKE SAs for bad values", n, len(e.sas.halfOpen.bySPI))
	}
	if n := e.Counters()["ike_bad_key_exchange"]; n != 300 {
		t.Errorf("%d are counted, want 300", n)
	}
	if len(a.left.refused) == 0 {
		t.Error("no reason is told")
	}
}

// TestFailedComputationStaysCharged has the shared values of a caller fail, though it passed every
// check before: each is told and counted once, copies of a request cost no other computation, and
// the caller has no place for more until the time of these is up. Others have.
func TestFailedComputationStaysCharged(t *testing.T) {
	const share = 4
	a := newAttack(newPair(t, 1, func(p *testPair) {
		p.right.config.Limits = EngineLimits{MaxHalfOpen: 64 * share, CookieThreshold: 64 * share}
	}))
	e := a.right.e
	sound := e.cfg.KE
	e.cfg.KE = fakeKEs{random: seededRand(1, "fails"), fails: true}
	for range share + 3 {
		r := a.newRogue(a.right)
		for range 2 {
			r.sendInit(r.payloads())
			a.drive(100 * time.Millisecond)
		}
	}
	if n := len(a.replies); n != share {
		a.fatalf("%d replies, want %d", n, share)
	}
	a.wantReplies(share, wire.InvalidSyntax)
	counts := e.Counters()
	if e.jobs.last != share || len(e.jobs.waiting) != 0 || counts["ike_bad_key_exchange"] != share || len(a.right.refused) != share || counts["ike_half_open_limit"] != 2*3 {
		t.Errorf("%d computations, %d refusals told: %v", e.jobs.last, len(a.right.refused), counts)
	}
	if n := e.sas.halfOpen.Count(); n != share || e.sas.halfOpen.Octets() < share*octetsOfHalfOpen || e.sas.halfOpen.Busy(share+1) {
		t.Errorf("%d are charged, with %d octets", n, e.sas.halfOpen.Octets())
	}
	e.cfg.KE = sound
	a.up()
	a.drive(halfOpenLife)
	if n := e.sas.halfOpen.Count() + len(e.sas.halfOpen.bySPI) + e.sas.halfOpen.Octets(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestDearGroupsOfStrangers has strangers of many networks return cookies, with a group that takes
// long: a few of them are computed at a time, the others are dropped before they leave any state,
// and a peer at its configured address gets in, with that group as well.
func TestDearGroupsOfStrangers(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	busy := true
	a.compute = func() time.Duration {
		if busy {
			return time.Minute
		}
		return 0
	}
	e := a.right.e
	e.cfg.KE = fakeKEs{random: seededRand(1, "dear"), dear: true}
	for i := range 100 {
		r := a.newRogue(a.right)
		r.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), 1}), 500)
		r.sendInitWithCookie()
	}
	counts := e.Counters()
	const want = 8
	if n := len(e.jobs.waiting); n != want || len(e.sas.halfOpen.bySPI) != want || counts["ike_half_open_limit"] != 100-want || counts["ike_cookie_sent"] != 100 {
		t.Errorf("%d computations and %d half-open IKE SAs of 100 strangers, want %d: %v", n, len(e.sas.halfOpen.bySPI), want, counts)
	}
	busy = false
	a.up()
	if n := len(e.jobs.waiting); n != want {
		t.Errorf("%d computations of strangers, want %d", n, want)
	}
}

// TestDearGroupsOfANetwork has strangers of one network return cookies: they have a share of the
// dear computations, and a stranger of another network and a configured peer get in beside them.
func TestDearGroupsOfANetwork(t *testing.T) {
	for _, format := range []string{"203.0.113.%d", "2001:db8:1:%x::1"} {
		a := newAttack(newPair(t, 1, nil))
		busy := true
		a.compute = func() time.Duration {
			if busy {
				return time.Minute
			}
			return 0
		}
		e := a.right.e
		e.cfg.KE = fakeKEs{random: seededRand(1, "dear"), dear: true}
		call := func(from string) *rogue {
			r := a.newRogue(a.right)
			r.from = netip.AddrPortFrom(netip.MustParseAddr(from), 500)
			r.sendInitWithCookie()
			return r
		}
		for i := range 50 {
			call(fmt.Sprintf(format, i))
		}
		const want = 2
		if n := len(e.jobs.waiting); n != want || e.Counters()["ike_half_open_limit"] != 50-want {
			t.Errorf("%s: %d computations of one network, want %d", format, n, want)
		}
		call("198.51.100.1")
		call("2001:db8:2::1")
		if n := len(e.jobs.waiting); n != want+2 {
			t.Errorf("%s: %d computations with those of others, want %d", format, n, want+2)
		}
		busy = false
		if a.up(); len(e.jobs.waiting) != want+2 {
			t.Errorf("%s: %d computations after a peer came up", format, len(e.jobs.waiting))
		}
	}
}

// TestCookieBeforeWork demands a cookie before anything dear: of everybody if the group is, and
// otherwise as soon as a few newcomers wait for their computations.
func TestCookieBeforeWork(t *testing.T) {
	for dear, want := range map[bool]int{false: 2, true: 0} {
		a := newAttack(newPair(t, 1, nil))
		a.compute = func() time.Duration { return time.Second }
		e := a.right.e
		e.cfg.KE = fakeKEs{random: seededRand(1, "dear"), dear: dear}
		for i := range 10 {
			r := a.newRogue(a.right)
			a.inject(a.right, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 500), r.message(r.payloads()))
		}
		if n := len(e.jobs.waiting); n != want {
			t.Errorf("dear %v: %d computations, want %d", dear, n, want)
		}
		cookies := 0
		for _, pk := range a.replies {
			if _, ok := wire.FindNotify(pk.msg.payloads, wire.Cookie); ok {
				cookies++
			}
		}
		if cookies != 10-want {
			t.Errorf("dear %v: %d cookies are demanded, want %d", dear, cookies, 10-want)
		}
		a.drive(5 * time.Second)
		if e.sas.halfOpen.Busy(100) {
			t.Errorf("dear %v: computations are still counted", dear)
		}
		a.compute = func() time.Duration { return time.Millisecond }
		a.up() // with a cookie, if the group is dear
	}
}

// TestCallerDuringTheStart: who calls a gateway that does not have its peers yet, since there are
// many, is not refused, and gets in once they are there.
func TestCallerDuringTheStart(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.late = true })
	ref := p.left.connect("")
	if p.drive(300 * time.Millisecond); p.left.answered[ref] || p.right.e.Counters()["ike_not_configured"] != 1 {
		p.fatalf("answered: %v, %v", p.left.done[ref], p.right.e.Counters())
	}
	p.right.handle(SetPeers{Peers: p.right.peers})
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}
