package ike

import (
	"bytes"
	"testing"
	"time"

	"culvert/ike/wire"
)

// halfOpenAttack begins an IKE SA with right, whose fragments are supported.
func halfOpenAttack(t *testing.T, edit func(p *testPair)) (*attack, *rogue) {
	a := newAttack(newPair(t, 1, edit))
	r := a.newRogue(a.right)
	r.sendInit(append(r.payloads(), &wire.Notify{Kind: wire.FragmentationSupported}))
	a.replies = nil
	return a, r
}

// header is that of the first request under protection.
func (r *rogue) header() wire.Header {
	return wire.Header{InitiatorSPI: r.id[0], ResponderSPI: r.id[1], MajorVersion: 2, Exchange: wire.IKEAuth, Initiator: true, MessageID: 1}
}

// strangerAuth is an IKE_AUTH request whose proof is wrong.
func (r *rogue) strangerAuth() []wire.Payload {
	return r.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")})
}

// TestNothingIsMadeOfForgedAuth: a message that is not authentic changes nothing of a half-open IKE
// SA, and nor does one that is of another exchange, ID or sender.
func TestNothingIsMadeOfForgedAuth(t *testing.T) {
	a, r := halfOpenAttack(t, nil)
	h := halfOpenOf(t, a.right.e)
	was, data := *h, bytes.Clone(h.data)
	plain := wire.AppendPayloads(nil, r.strangerAuth())
	good := a.seal(r.keys, r.header(), wire.FirstType(r.strangerAuth()), plain)
	for name, c := range map[string]struct {
		counted string
		data    func() []byte
	}{
		"a flipped bit": {"ike_auth_failed", func() []byte { good[len(good)-1] ^= 1; return good }},
		"a forged fragment": {"ike_auth_failed", func() []byte {
			f := a.sealFragment(r.keys, r.header(), wire.PayloadIDi, 1, 2, plain[:40])
			f[len(f)-1] ^= 1
			return f
		}},
		"fragment 1 of 200": {"ike_fragment_refused", func() []byte { return a.sealFragment(r.keys, r.header(), wire.PayloadIDi, 1, 200, plain[:40]) }},
		"message ID 2":      {"ike_message_id", func() []byte { h := r.header(); h.MessageID = 2; return a.seal(r.keys, h, 0, nil) }},
		"message ID 0":      {"ike_message_id", func() []byte { h := r.header(); h.MessageID = 0; return a.seal(r.keys, h, 0, nil) }},
		"CREATE_CHILD_SA":   {"ike_unexpected_exchange", func() []byte { h := r.header(); h.Exchange = wire.CreateChildSA; return a.seal(r.keys, h, 0, nil) }},
		"a response":        {"ike_unexpected_exchange", func() []byte { h := r.header(); h.Response = true; return a.seal(r.keys, h, 0, nil) }},
		"another initiator": {"ike_unknown_spi", func() []byte { h := r.header(); h.InitiatorSPI++; return a.seal(r.keys, h, 0, nil) }},
		"not protected": {"ike_unprotected", func() []byte {
			m := wire.Message{Header: r.header(), Payloads: r.strangerAuth()}
			return m.AppendTo(nil)
		}},
	} {
		before := a.right.e.Counters()[c.counted]
		a.inject(a.right, r.from, c.data())
		if n := a.right.e.Counters()[c.counted] - before; n != 1 {
			t.Errorf("%s: %s grows by %d, want 1", name, c.counted, n)
		}
		if now := *halfOpenOf(t, a.right.e); now.late != nil && (now.late.win.ExpectedID() != 1 || now.late.win.Fragments(wire.Header{}).Octets() != 0 || now.late.sa != nil) || now.since != was.since || !bytes.Equal(now.data, data) || len(a.right.e.sas.bySPI) != 0 {
			t.Errorf("%s: it changes the half-open IKE SA", name)
		}
	}
}

// TestRefusedAuthIsRepeated has an IKE_AUTH request refused: no ikeSA stays, and copies of the
// request get the same answer. Another request gets none.
func TestRefusedAuthIsRepeated(t *testing.T) {
	a, r := halfOpenAttack(t, nil)
	ps := r.strangerAuth()
	plain, first := wire.AppendPayloads(nil, ps), wire.FirstType(ps)
	request := a.seal(r.keys, r.header(), first, plain)
	send := func(data []byte, want int) {
		t.Helper()
		before := len(a.replies)
		a.inject(a.right, r.from, data)
		if len(a.replies) != before+want || want > 0 && !bytes.Equal(a.replies[before].data, a.replies[0].data) {
			t.Fatalf("%d answers of %d, or another one", len(a.replies)-before, want)
		}
	}
	key := halfOpenOf(t, a.right.e).skeyseed()
	send(request, 1)
	if n, ok := wire.FindNotify(a.replies[0].msg.payloads, wire.AuthenticationFailed); !ok || len(a.right.e.sas.bySPI) != 0 {
		t.Fatalf("answered with %v, and %d IKE SAs are there", n, len(a.right.e.sas.bySPI))
	}
	if len(key) == 0 || !bytes.Equal(key, make([]byte, len(key))) {
		t.Errorf("SKEYSEED is kept: %x", key)
	}
	send(request, 1)
	send(a.sealFragment(r.keys, r.header(), first, 1, 2, plain[:40]), 0) // the keys are gone
	send(a.seal(r.keys, r.header(), 0, nil), 0)
	next := r.header()
	next.MessageID = 2
	send(a.seal(r.keys, next, first, plain), 0)
	if n := a.right.e.sas.halfOpen.Octets(); n > octetsOfHalfOpen+octetsOfLate+2*1024 {
		t.Errorf("it is charged for %d octets", n)
	}
	a.drive(halfOpenLife)
	if n := len(a.right.e.sas.halfOpen.bySPI); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestPromotionIsCharged: where an address has no room for keys, or for an ikeSA, its request is
// dropped as if it had been lost, and the peer repeats it.
func TestPromotionIsCharged(t *testing.T) {
	a, r := halfOpenAttack(t, nil)
	table := a.right.e.sas.halfOpen
	for n, room := range []int{octetsOfLate + octetsOfKeys - 1, octetsOfLate + octetsOfSA - 1} {
		other := table.Add(r.from.Addr(), (8<<20)/64-table.Octets()-room)
		r.send(wire.IKEAuth, 1, r.strangerAuth())
		if len(a.replies) != 0 || len(a.right.e.sas.bySPI) != 0 || a.right.e.Counters()["ike_half_open_limit"] != uint64(n+1) {
			t.Fatalf("%d answers, counters %v", len(a.replies), a.right.e.Counters())
		}
		if late := halfOpenOf(t, a.right.e).late != nil; late != (n > 0) {
			t.Errorf("with room for %d octets, there are keys: %v", room, late)
		}
		table.Remove(r.from.Addr(), &other)
	}
	r.send(wire.IKEAuth, 1, r.strangerAuth())
	if len(a.replies) != 1 {
		t.Errorf("%d answers when there is room, want one", len(a.replies))
	}
}

// slowPSK is a pre-shared key that takes time, as a key in a remote server does.
type slowPSK struct{ PSK }

func (slowPSK) Slow() bool { return true }

// TestHalfOpenWhilePending has a slow credential keep the responder waiting: copies of both
// requests get nothing, and at the end of its time nothing is left.
func TestHalfOpenWhilePending(t *testing.T) {
	a, r := halfOpenAttack(t, func(p *testPair) {
		p.right.peers[0].Credential = slowPSK{PSK(testPSK())}
	})
	a.compute = func() time.Duration { return time.Hour }
	r.send(wire.IKEAuth, 1, r.strangerAuth())
	r.send(wire.IKEAuth, 1, r.strangerAuth())
	r.sendInit(append(r.payloads(), &wire.Notify{Kind: wire.FragmentationSupported}))
	if s := halfOpenOf(t, a.right.e).late.sa; s == nil || s.state != saHalfOpen || len(a.replies) != 0 {
		t.Fatalf("%v, and %d answers", s, len(a.replies))
	}
	a.drive(halfOpenLife)
	if n := len(a.right.e.sas.bySPI) + len(a.right.e.sas.halfOpen.bySPI) + a.right.e.sas.halfOpen.Octets(); n != 0 {
		t.Errorf("%d are left", n)
	}
}
