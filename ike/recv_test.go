package ike

import (
	"testing"

	"culvert/ike/wire"
)

// TestPayloadsBeforeSK sends requests with a payload in front of SK{}. An unknown one is treated as
// if it stood in SK{}, whose checksum covers it (RFC 7296, Sections 2.5 and 3.14).
func TestPayloadsBeforeSK(t *testing.T) {
	for _, c := range []struct {
		name   string
		before wire.Payload
		answer string // payloads of the response; "-": none
	}{
		{"none", nil, ""},
		{"unknown", &wire.Unknown{PayloadType: 190, Body: []byte{1, 2, 3}}, ""},
		{"unknown and critical", &wire.Unknown{PayloadType: 190, Critical: true}, "N(UNSUPPORTED_CRITICAL_PAYLOAD)"},
		{"known", &wire.Notify{Kind: wire.InitialContact}, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttack(newPair(t, 1, nil))
			a.up()
			a.script(true)
			victim := a.left
			main, keys := a.established(victim)
			h := wire.Header{
				InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, MajorVersion: 2, Exchange: wire.Informational,
				Initiator: !main.initiator, MessageID: main.win.ExpectedID(),
			}
			m := wire.Message{Header: h}
			if c.before != nil {
				m.Payloads = append(m.Payloads, c.before)
			}
			const sealed = 8 + 1 + 16 // IV, padding length, ICV
			m.Payloads = append(m.Payloads, &wire.Encrypted{Body: make([]byte, sealed)})
			a.inject(victim, victim.other().home(), a.sealBody(keys, h.Initiator, m.AppendTo(nil), sealed, nil))
			if c.answer == "-" {
				a.wantIdle("a known payload that is not protected")
				return
			}
			a.wantSend("the response", victim, wire.Informational, true, c.answer)
			if got := victim.e.Counters()["ike_critical_payload"]; (got == 1) != (c.answer != "") {
				t.Errorf("%d critical payloads are counted", got)
			}
		})
	}
}
