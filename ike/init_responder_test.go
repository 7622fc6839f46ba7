package ike

import (
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
