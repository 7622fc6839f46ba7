package ike

import (
	"slices"
	"strings"
	"testing"

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
		if n := len(p.left.e.sas.bySPI); n != tt.kept {
			t.Errorf("%s: %d IKE SAs, want %d", tt.name, n, tt.kept)
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
			want := "malformed IKE_SA_INIT request of " + a.right.home().String() + ": "
			if why := a.left.e.peers.order[0].calls.Reason; !strings.HasPrefix(why, want) || !strings.Contains(why, c.reason) {
				t.Errorf("the reason is %q, want one with %q", why, c.reason)
			}
			if n := len(a.left.e.sas.bySPI); n != 0 {
				t.Errorf("%d IKE SAs are left", n)
			}
		})
	}
}
