package ike

import (
	"slices"
	"testing"
	"time"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
	"culvert/selector"
)

// Responses of the authenticated peer that do not fit the request (RFC 7296, Sections 2.9.2, 2.21
// and 3.3.6): they are not accepted, nothing wider than the policy is ever installed, and in the
// end both sides have the same tunnel again.

// An oddAnswer is a change of the payloads of an honest response.
type oddAnswer struct {
	name   string
	change func(ps []wire.Payload) []wire.Payload
	lie    bool // the response claims that nothing was made: only its sender knows of the Child SA
}

// swap replaces the payloads of one type.
func swap(typ wire.PayloadType, by ...wire.Payload) func([]wire.Payload) []wire.Payload {
	return func(ps []wire.Payload) []wire.Payload {
		ps = slices.DeleteFunc(slices.Clone(ps), func(p wire.Payload) bool { return p.Type() == typ })
		return append(ps, by...)
	}
}

// reform changes the one proposal of the response.
func reform(change func(p *wire.Proposal)) func([]wire.Payload) []wire.Payload {
	return func(ps []wire.Payload) []wire.Payload {
		p := proposalOf(ps)
		if len(p.Transforms) == 0 {
			return ps // an INFORMATIONAL response
		}
		p.Transforms = slices.Clone(p.Transforms)
		change(&p)
		return swap(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{p}})(ps)
	}
}

// instead replaces all payloads of the response.
func instead(ps ...wire.Payload) func([]wire.Payload) []wire.Payload {
	return func([]wire.Payload) []wire.Payload { return ps }
}

func twoProposals(ps []wire.Payload) []wire.Payload {
	p := proposalOf(ps)
	return swap(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{p, p}})(ps)
}

var oddAnswers = []oddAnswer{
	{"nothing", instead(), false},
	{"an unknown error", instead(&wire.Notify{Kind: 8191}), true},
	{"an unknown status", instead(&wire.Notify{Kind: 40000}), false},
	{"temporary failure", instead(&wire.Notify{Kind: wire.TemporaryFailure}), true},
	{"no additional SAs", instead(&wire.Notify{Kind: wire.NoAdditionalSAs}), true},
	{"another group wanted, of none", instead(&wire.Notify{Kind: wire.InvalidKEPayload}), true},
	{"another group wanted, not offered", instead(&wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, 2}}), true},
	{"an unknown critical payload", swap(190, &wire.Unknown{PayloadType: 190, Critical: true}), false},
	{"an unknown payload", swap(190, &wire.Unknown{PayloadType: 190}), false},
	{"two proposals", twoProposals, false},
	{"no proposal", swap(wire.PayloadSA, &wire.SA{}), false},
	{"the SA payload withheld", swap(wire.PayloadSA), false},
	{"the nonce withheld", swap(wire.PayloadNonce), false},
	{"another number", reform(func(p *wire.Proposal) { p.Number += 7 }), false},
	{"another cipher", reform(func(p *wire.Proposal) { p.Transforms[0].KeyLength = 192 }), false},
	{"a cipher of no key", reform(func(p *wire.Proposal) { p.Transforms[0].KeyLength = 0 }), false},
	{"integrity beside AEAD", reform(func(p *wire.Proposal) { p.Transforms = append(p.Transforms, proposaltest.Transforms["sha256"]) }), false},
	{"NULL encryption", reform(func(p *wire.Proposal) { p.Transforms[0] = proposaltest.Transforms["null"] }), false},
	{"two ciphers", reform(func(p *wire.Proposal) { p.Transforms = append(p.Transforms, proposaltest.Transforms["gcm192"]) }), false},
	{"no transforms", reform(func(p *wire.Proposal) { p.Transforms = nil }), false},
	{"an SPI of no octets", reform(func(p *wire.Proposal) { p.SPI = nil }), false},
	{"an SPI of three octets", reform(func(p *wire.Proposal) { p.SPI = []byte{1, 2, 3} }), false},
	{"the SPI zero", reform(func(p *wire.Proposal) { p.SPI = make([]byte, len(p.SPI)) }), false},
	{"another protocol", reform(func(p *wire.Proposal) { p.Protocol = wire.ProtoAH }), false},
	{"the key exchange withheld", swap(wire.PayloadKE), false},
	{"a key exchange of another group", swap(wire.PayloadKE, &wire.KE{Group: wire.GroupECP256, Data: make([]byte, 34)}), false},
	{"a key exchange of no value", swap(wire.PayloadKE, &wire.KE{Group: wire.GroupX25519}), false},
	{"a key exchange of value zero", swap(wire.PayloadKE, &wire.KE{Group: wire.GroupX25519, Data: make([]byte, 34)}), false},
	{"TSi withheld", swap(wire.PayloadTSi), false},
	{"TSi of everything", swap(wire.PayloadTSi, wireTS(false, testNetworks("0.0.0.0/0"))), false},
	{"TSr of everything", swap(wire.PayloadTSr, wireTS(true, testNetworks("0.0.0.0/0"))), false},
	{"TSr narrower", swap(wire.PayloadTSr, wireTS(true, testNetworks("10.2.0.0/25"))), false},
	{"TSr elsewhere", swap(wire.PayloadTSr, wireTS(true, testNetworks("10.77.0.0/16"))), false},
	{"TSr of another family", swap(wire.PayloadTSr, wireTS(true, testNetworks("2001:db8::/32"))), false},
	{"TSr of none", swap(wire.PayloadTSr, &wire.TS{Responder: true}), false},
}

func TestOddAnswers(t *testing.T) {
	for what, ask := range map[string]func(p *testPair){
		"rekeying a child":    func(p *testPair) { p.left.rekey("lan") },
		"creating a child":    func(p *testPair) { p.left.connect("two") },
		"rekeying the IKE SA": func(p *testPair) { p.left.rekey("") },
		"authenticating":      nil,
		"asking for liveness": func(p *testPair) { p.left.e.peers.order[0].party.main().live.probe() },
		"deleting a child":    func(p *testPair) { p.left.disconnect("lan") },
		"deleting the IKE SA": func(p *testPair) { p.left.disconnect("") },
	} {
		for _, odd := range oddAnswers {
			t.Run(what+": "+odd.name, func(t *testing.T) { answerOddly(t, ask, odd) })
		}
	}
}

// answerOddly makes the left side send a request, and gives it the changed response instead of the
// honest one.
func answerOddly(t *testing.T, ask func(p *testPair), odd oddAnswer) {
	p := newPair(t, 3, func(p *testPair) {
		twoChildren(p)
		for _, s := range []*testSide{p.left, p.right} {
			for i := range s.peers[0].Children {
				s.peers[0].Children[i].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
			}
			s.peers[0].DPD = 10 * time.Second
		}
	})
	a := newAttack(p)
	if ask == nil {
		p.script(true)
		p.left.connect("")
		p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
		p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	} else {
		p.left.connect("lan")
		p.drive(2 * time.Second)
		p.left.traffic("lan")
		p.drive(time.Second)
		p.script(true)
		ask(p)
		p.left.e.Handle(p.now, Wake{}, &Effects{}) // deadlines that the test has changed directly
	}
	req := p.nextSent(p.left)
	if req == nil {
		return // no request was expected
	}
	p.deliver(req)
	resp := p.nextSent(p.right)
	p.left.out, p.right.out = nil, nil
	p.script(false)
	a.answerAs(resp, odd.change(resp.payloads))
	for range 5 {
		p.left.connect("")
		for range 60 {
			p.left.traffic("lan")
			p.right.traffic("lan")
			p.drive(time.Second)
			wantPolicy(p)
		}
	}
	if !odd.lie {
		p.wantAgreement()
		p.wantChild(p.left, "lan")
		p.wantChild(p.left, "two")
	}
	p.wantSound()
	p.lost = nil
	p.left.traffic("lan")
	p.left.traffic("two")
	p.drive(time.Second)
	p.wantNoLoss()
	for _, s := range []*testSide{p.left, p.right} {
		if s.e.Counters()["ike_panic"] > 0 {
			p.fatalf("%s panicked: %s", s.name, p.wantNotice(s, "panic").Text)
		}
	}
}

// nextSent returns the next message that a side sends, or nil if there is none within a second.
func (p *testPair) nextSent(s *testSide) *testMessage {
	for range 100 {
		if len(s.out) > 0 || !p.step(p.now.Add(time.Second)) {
			break
		}
	}
	if len(s.out) == 0 {
		return nil
	}
	m := s.out[0]
	s.out = s.out[1:]
	return m
}

// answerAs gives the requester a response with other payloads under the header of the honest one.
func (a *attack) answerAs(resp *testMessage, ps []wire.Payload) {
	a.t.Helper()
	keys := a.tap.sas[[2]wire.SPI{resp.hdr.InitiatorSPI, resp.hdr.ResponderSPI}]
	a.inject(resp.from.other(), resp.from.home(), a.seal(keys, resp.hdr, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
}

// wantPolicy checks that the policies allow everything that is installed.
func wantPolicy(p *testPair) {
	p.t.Helper()
	for _, s := range []*testSide{p.left, p.right} {
		for _, psa := range s.plane.sas {
			for _, c := range s.peers[0].Children {
				if c.Name != psa.sa.Name.Child {
					continue
				}
				for i, ts := range [][]selector.Selector{psa.sa.LocalTS, psa.sa.RemoteTS} {
					for _, sel := range ts {
						if allowed := [][]selector.Selector{c.Local, c.Remote}[i]; !allowed[0].Covers(sel) {
							p.fatalf("%s has %v installed for %v", s.name, sel, allowed)
						}
					}
				}
			}
		}
	}
}
