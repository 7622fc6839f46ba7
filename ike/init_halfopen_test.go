package ike

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/ike/window"
	"culvert/ike/wire"
)

// fill has n addresses, the i-th of them from(i), begin as many half-open IKE SAs as they may, and
// returns how many there are.
func (c *halfOpenTable) fill(n, limit int, from func(i int) netip.Addr) int {
	for i := range n {
		for a := from(i); c.admits(a, false, limit); {
			c.add(&ikeSA{}, a)
		}
	}
	return c.count
}

func TestHalfOpenShares(t *testing.T) {
	const limit = 4096
	addr := func(format string) func(i int) netip.Addr {
		return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, i)) }
	}
	for _, c := range []struct {
		name string
		n    int
		from func(i int) netip.Addr
		want int
	}{
		{"one address", 1, addr("192.0.2.%d"), limit / 64},
		{"one /24", 256, addr("192.0.2.%d"), limit / 16},
		{"16 networks, an address of each", 16, addr("10.%d.0.1"), limit / 4},
		{"all addresses of one /64", 200, addr("2001:db8::%x"), limit / 64},
		{"an IPv6 /60", 16, addr("2001:db8:0:%x::1"), limit / 16},
		{"an IPv6 /48", 200, addr("2001:db8:0:%x::1"), limit / 16},
		{"everybody", 200, addr("10.%d.0.1"), limit - limit/8},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table halfOpenTable
			if got := table.fill(c.n, limit, c.from); got != c.want {
				t.Fatalf("strangers hold %d, want %d", got, c.want)
			}
			stranger, known := c.from(0), netip.MustParseAddr("198.51.100.7")
			if table.admits(stranger, false, limit) || !table.admits(known, true, limit) {
				t.Error("a configured address must still be admitted, and the strangers must not")
			}
			table.recent.add(known)
			n := 0
			for ; table.admits(known, false, limit); n++ {
				table.add(&ikeSA{}, known)
			}
			if want := min(limit/16, limit-c.want); n != want {
				t.Errorf("an address that lately had an IKE SA holds %d, want %d", n, want)
			}
		})
	}
}

// TestHalfOpenEnds counts down to nothing.
func TestHalfOpenEnds(t *testing.T) {
	var table halfOpenTable
	var list []*ikeSA
	for _, text := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		s := &ikeSA{}
		table.add(s, netip.MustParseAddr(text))
		list = append(list, s)
	}
	for _, s := range append(list, list...) { // the second time does nothing
		table.remove(s)
	}
	if table.count != 0 || len(table.from) != 0 {
		t.Errorf("%d IKE SAs and %v stay", table.count, table.from)
	}
}

func TestRecentAddrs(t *testing.T) {
	var r recentAddrs
	nth := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range maxRecent + 2 {
		r.add(nth(i))
		r.add(nth(i))
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, maxRecent + 1: true, maxRecent + 2: false} {
		if r.has(nth(i)) != want {
			t.Errorf("address %d is remembered: %v", i, !want)
		}
	}
	if len(r.set) != maxRecent || len(r.ring) != maxRecent {
		t.Errorf("%d and %d addresses are kept", len(r.set), len(r.ring))
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
	if n := e.jobs.last; n != 0 || len(e.sas.bySPI) != 0 {
		t.Errorf("%d computations and %d IKE SAs for bad values", n, len(e.sas.bySPI))
	}
	if n := e.Counters()["ike_bad_key_exchange"]; n != 300 {
		t.Errorf("%d are counted, want 300", n)
	}
	if len(a.left.refused) == 0 {
		t.Error("no reason is told")
	}
}

// TestCookieBeforeWork demands a cookie before anything dear: of everybody if the group is, and
// otherwise as soon as a few newcomers wait for their computations.
func TestCookieBeforeWork(t *testing.T) {
	for dear, want := range map[bool]int{false: maxBacklog, true: 0} {
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
		if e.newcomers != 0 {
			t.Errorf("dear %v: %d computations are still counted", dear, e.newcomers)
		}
		a.compute = func() time.Duration { return time.Millisecond }
		a.up() // with a cookie, if the group is dear
	}
}

// TestStrangersFragments has half-open IKE SAs hold fragments: what strangers hold together is
// bounded, known addresses have a reserve beyond it, and what an IKE SA gives up is free again.
func TestStrangersFragments(t *testing.T) {
	e := newPair(t, 1, nil).right.e
	hold := func(s *ikeSA) bool {
		var r window.Reassembly
		r.Add(&wire.EncryptedFragment{Number: 1, Total: 2}, make([]byte, maxStrangersMessage), [32]byte{}, maxStrangersMessage)
		return e.chargeFragments(s, &r)
	}
	var list []*ikeSA
	begin := func(from string) *ikeSA {
		s := &ikeSA{}
		e.sas.halfOpen.add(s, netip.MustParseAddr(from))
		list = append(list, s)
		return s
	}
	n := 0
	for hold(begin("203.0.113.1")) {
		n++
	}
	if want := maxStrangersHeld / maxStrangersMessage; n != want {
		t.Errorf("%d strangers hold a message each, want %d", n, want)
	}
	lately := netip.MustParseAddr("198.51.100.1")
	e.sas.halfOpen.recent.add(lately)
	if !hold(begin("192.0.2.1")) || !hold(begin(lately.String())) {
		t.Error("the configured peer, or one that lately had an IKE SA, is refused")
	}
	for hold(begin("192.0.2.1")) {
		n++
	}
	if want := maxUnprovenHeld/maxStrangersMessage - 2; n != want {
		t.Errorf("%d messages are held beside the two, want %d", n, want)
	}
	for _, s := range list {
		e.sas.halfOpen.remove(s)
	}
	if n := e.sas.halfOpen.octets; n != 0 {
		t.Errorf("%d octets stay charged", n)
	}
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
			if held := a.right.e.sas.halfOpen.octets; held > maxStrangersMessage {
				t.Fatalf("%d octets are held", held)
			}
		}
		if got := len(a.replies) - before; got != want {
			t.Errorf("%d octets: %d answers, want %d", size, got, want)
		}
		a.drive(time.Minute)
		if held := a.right.e.sas.halfOpen.octets; held != 0 {
			t.Errorf("%d octets stay charged", held)
		}
	}
}
