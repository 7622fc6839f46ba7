package ike

import (
	"fmt"
	"testing"
	"time"

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

// TestPayloadsBeforeSKInAuth has IKE_AUTH carry a payload in front of SK{}, or of each SKF{}: in
// its request, which a half-open IKE SA takes, or in its response. An unknown one is skipped, and a
// critical one refused.
func TestPayloadsBeforeSKInAuth(t *testing.T) {
	for _, c := range []struct {
		name   string
		before wire.Payload
		end    string // of the command; "-": the message is dropped
	}{
		{"unknown", &wire.Unknown{PayloadType: 190, Body: []byte{1, 2, 3}}, ""},
		{"unknown and critical", &wire.Unknown{PayloadType: 190, Critical: true}, "critical payload"},
		{"known", &wire.Notify{Kind: wire.InitialContact}, "-"},
	} {
		for _, pieces := range []int{1, 2} {
			for _, response := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d pieces, response %t", c.name, pieces, response), func(t *testing.T) {
					a := newAttack(newPair(t, 1, nil))
					a.script(true)
					ref := a.left.connect("")
					a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
					a.deliver(a.wantSend("right answers", a.right, wire.IKESAInit, true, "..."))
					m := a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "AUTH, ...")
					if response {
						a.deliver(m)
						m = a.wantSend("right authenticates", a.right, wire.IKEAuth, true, "AUTH, ...")
					}
					to := m.from.other()
					a.behind(m, c.before, pieces)
					if c.end == "-" {
						a.wantIdle("a known payload that is not protected")
						a.deliver(m)
					}
					a.script(false)
					for _, answer := range to.out {
						a.deliver(answer)
					}
					a.drive(time.Second)
					if c.end == "critical payload" {
						a.wantDone(a.left, ref, map[bool]string{false: "UNSUPPORTED_CRITICAL_PAYLOAD", true: "unsupported critical payload"}[response])
						a.wantNoChild("lan")
						return
					}
					a.wantDone(a.left, ref, "")
					a.wantTunnel()
				})
			}
		}
	}
}

// behind hands the receiver of a message one of the same content, with a payload before SK{}, or
// before the SKF{} of each of several pieces.
func (a *attack) behind(m *testMessage, before wire.Payload, pieces int) {
	plain, first := wire.AppendPayloads(nil, m.payloads), wire.FirstType(m.payloads)
	keys := a.tap.sas[[2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}]
	for n := range pieces {
		part := plain[n*len(plain)/pieces : (n+1)*len(plain)/pieces]
		body := make([]byte, 8+len(part)+1+16) // IV, padding length, ICV
		var sealed wire.Payload = &wire.Encrypted{First: first, Body: body}
		if pieces > 1 {
			f := &wire.EncryptedFragment{Number: uint16(n + 1), Total: uint16(pieces), Body: body}
			if n == 0 {
				f.First = first
			}
			sealed = f
		}
		piece := wire.Message{Header: m.hdr, Payloads: []wire.Payload{before, sealed}}
		data := a.sealBody(keys, m.hdr.Initiator, piece.AppendTo(nil), len(body), part)
		a.inject(m.from.other(), m.from.home(), data)
	}
}
