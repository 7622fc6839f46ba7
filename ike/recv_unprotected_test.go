package ike

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// A restarted peer answers an unknown IKE SA with INVALID_IKE_SPI. Anybody can send that, so it
// only triggers a liveness check.
func TestInvalidSPIHint(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.up()
	a := newAttack(p)
	main, _ := a.established(p.left)
	hint := wire.Message{
		Header:   wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Response: true},
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidIKESPI}},
	}
	for range 1000 {
		a.inject(p.left, p.right.home(), hint.AppendTo(nil))
		p.drive(10 * time.Millisecond)
	}
	p.wantTunnel()
	if n := p.left.requests(wire.Informational); n > 3 {
		p.fatalf("%d probes in 10 s because of forged hints", n)
	}
}

// A peer that speaks IKEv1 is named: one that calls in its reason, as unverified, and among the
// strangers; one that answers us by it in the reason of the attempt and in its history, but not if
// anybody else does.
func TestPeerOfIKEv1(t *testing.T) {
	const want = "speaks IKEv1, and we speak IKEv2 only"
	older := func(h wire.Header) []byte {
		data := (&wire.Message{Header: h}).AppendTo(nil)
		data[17], data[18] = 0x10, 2 // version 1.0, Identity Protection (RFC 2408, Section 3.1)
		return data
	}
	a := newAttack(newPair(t, 1, nil))
	e := a.left.e
	call := older(wire.Header{InitiatorSPI: 7, Initiator: true})
	a.inject(a.left, a.right.home(), call)
	if why := e.Status()[0].Reason; !strings.Contains(why, "unverified: 192.0.2.2:500: the peer "+want) || len(a.left.refused) != 1 || len(a.left.notices) > 0 {
		t.Errorf("the reason is %q; %d strangers, notices %v", why, len(a.left.refused), a.left.notices)
	}
	if n := e.Counters()["ike_version"]; n != 1 || len(a.replies) > 0 {
		t.Errorf("%d counted, %d replies", n, len(a.replies))
	}
	refused := len(a.left.refused)
	a.inject(a.left, netip.MustParseAddrPort("198.51.100.7:500"), call)
	if list := a.left.refused[refused:]; len(list) != 1 || !strings.Contains(list[0].Text, want) {
		t.Errorf("of a stranger: %v", list)
	}

	a.link = func(*testPacket) []time.Duration { return nil }
	ref := a.left.connect("lan")
	a.drive(time.Second)
	s := e.peers.order[0].party.sas[0]
	answer := older(wire.Header{InitiatorSPI: s.spi.I, ResponderSPI: 9})
	a.inject(a.left, netip.MustParseAddrPort("198.51.100.7:500"), answer)
	if s.setup.refusal.Cause != "" {
		t.Errorf("a stranger's answer is believed: %v", s.setup.refusal)
	}
	a.inject(a.left, a.right.home(), answer)
	a.drive(time.Minute)
	a.wantDone(a.left, ref, want)
	if text := a.wantNotice(a.left, "connect-failed").Text; !strings.Contains(text, want) {
		t.Errorf("the event is %q", text)
	}
}

// Of the protected messages with unknown SPIs only a request is answered, and none of IKE_SA_INIT.
func TestOnlyRequestsAreAnswered(t *testing.T) {
	for _, tt := range []struct {
		ex       wire.ExchangeType
		response bool
		want     int
	}{
		{wire.Informational, false, 1},
		{wire.CreateChildSA, false, 1},
		{wire.Informational, true, 0},
		{wire.CreateChildSA, true, 0},
		{wire.IKESAInit, false, 0},
		{wire.IKESAInit, true, 0},
	} {
		a := newAttack(newPair(t, 1, nil))
		m := wire.Message{
			Header: wire.Header{
				InitiatorSPI: 0xbad, ResponderSPI: 0xbad, MajorVersion: 2, Exchange: tt.ex,
				Initiator: true, Response: tt.response, MessageID: 7,
			},
			Payloads: []wire.Payload{&wire.Encrypted{Body: make([]byte, 40)}},
		}
		a.inject(a.right, attacker, m.AppendTo(nil))
		a.drive(time.Second)
		if len(a.replies) != tt.want {
			t.Errorf("%v, response %v: %d replies, want %d", tt.ex, tt.response, len(a.replies), tt.want)
		}
		a.wantReplies(tt.want, wire.InvalidIKESPI)
	}
}

// One host is answered INVALID_IKE_SPI a few times a second, and the rest is counted.
func TestAnswersToUnknownSPIsAreLimited(t *testing.T) {
	const requests, answers = 50, 10
	a := newAttack(newPair(t, 1, nil))
	for n := range requests {
		m := wire.Message{
			Header: wire.Header{
				InitiatorSPI: wire.SPI(n + 1), ResponderSPI: 0xbad, MajorVersion: 2, Exchange: wire.Informational,
				Initiator: true,
			},
			Payloads: []wire.Payload{&wire.Encrypted{Body: make([]byte, 40)}},
		}
		a.inject(a.right, attacker, m.AppendTo(nil))
	}
	a.drive(100 * time.Millisecond)
	a.wantReplies(answers, wire.InvalidIKESPI)
	if n := a.right.e.Counters()["ike_errors_limited"]; n != requests-answers {
		t.Errorf("%d answers were withheld, want %d", n, requests-answers)
	}
}

// Whoever sees IKE_AUTH can answer it without protection. No such answer ends the attempt, whatever
// it says and wherever it comes from, and the peer's own is taken after it (RFC 7296, Section
// 2.21.2). INVALID_IKE_SPI is in TestForgedLossOfAnAttempt.
func TestForgedAuthAnswers(t *testing.T) {
	notify := func(kind wire.NotifyType, data ...byte) []wire.Payload {
		return []wire.Payload{&wire.Notify{Kind: kind, Data: data}}
	}
	for name, ps := range map[string][]wire.Payload{
		"nothing":                   nil,
		"authentication failed":     notify(wire.AuthenticationFailed),
		"no proposal chosen":        notify(wire.NoProposalChosen),
		"invalid syntax":            notify(wire.InvalidSyntax),
		"a higher version":          notify(wire.InvalidMajorVersion, 3),
		"a critical payload":        notify(wire.UnsupportedCriticalPayload, 190),
		"an error of no number yet": notify(8191),
		"a Delete":                  {&wire.Delete{Protocol: wire.ProtoIKE}},
		"a short SK":                {&wire.Encrypted{Body: make([]byte, 8)}},
		"SK of zeros":               {&wire.Encrypted{Body: make([]byte, 200)}},
		"an unknown critical one":   {&wire.Unknown{PayloadType: 190, Critical: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, nil)
			p.script(true)
			a := newAttack(p)
			ref := p.left.connect("lan")
			p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
			p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
			auth := p.wantSend("left authenticates", p.left, wire.IKEAuth, false, "...")
			forged := wire.Message{
				Header:   wire.Header{InitiatorSPI: auth.hdr.InitiatorSPI, ResponderSPI: auth.hdr.ResponderSPI, Exchange: wire.IKEAuth, Response: true, MessageID: 1},
				Payloads: ps,
			}
			for range 20 {
				a.inject(p.left, p.right.home(), forged.AppendTo(nil))
				a.inject(p.left, attacker, forged.AppendTo(nil))
			}
			p.drive(5 * time.Second) // the peer takes long to authenticate us
			p.script(false)
			p.send(auth.pk)
			p.drive(time.Second)
			p.wantDone(p.left, ref, "")
			p.wantTunnel()
			if n := p.left.requests(wire.IKESAInit); n != 1 {
				p.fatalf("%d attempts, want 1", n)
			}
		})
	}
}
