package ike

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/window"
	"culvert/ike/wire"
)

const initPayloads = "SA, KE(x25519), Nonce, N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP), N(IKEV2_FRAGMENTATION_SUPPORTED), V"

// initResponse is initPayloads of a responder.
const initResponse = initPayloads + ", N(CHILDLESS_IKEV2_SUPPORTED)"

// The exchanges of RFC 7296, Section 1.2, and no other messages.
func TestConnectDialogue(t *testing.T) {
	p := newPair(t, 1, nil)
	p.script(true)
	ref := p.left.connect("")
	init := p.wantSend("left asks", p.left, wire.IKESAInit, false, initPayloads)
	if init.pk.dst != p.right.home() || init.hdr.MessageID != 0 || init.hdr.ResponderSPI != 0 || !init.hdr.Initiator {
		p.fatalf("the first message is %+v to %v", init.hdr, init.pk.dst)
	}
	p.deliver(init)
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, initResponse))
	p.deliver(p.wantSend("left proves itself", p.left, wire.IKEAuth, false, "IDi, IDr, N(INITIAL_CONTACT), AUTH, SA, TSi, TSr, V"))
	p.deliver(p.wantSend("right proves itself", p.right, wire.IKEAuth, true, "IDr, AUTH, SA, TSi, TSr, V, V"))
	p.wantIdle("that is all")
	p.wantDone(p.left, ref, "")
	p.left.traffic("lan")
	p.drive(time.Second)
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantTunnel()
	p.wantNoLoss()
	for _, s := range []*testSide{p.left, p.right} {
		st := s.e.Status()[0]
		if st.State != PeerEstablished || st.Reason != "" || st.Proposal != "aes256gcm16-prfsha256-x25519" || st.NAT != (NATState{}) || st.Children[0].State != ChildInstalled || st.Children[0].Proposal != "aes128gcm16" {
			t.Errorf("%s: status %+v", s.name, st)
		}
	}
}

// A copy of a request gets the same octets as response, in every exchange, and creates nothing.
func TestResponseCache(t *testing.T) {
	p := newPair(t, 1, nil)
	p.script(true)
	p.left.connect("")
	for _, ex := range []wire.ExchangeType{wire.IKESAInit, wire.IKEAuth} {
		req := p.wantSend("left asks", p.left, ex, false, "...")
		p.deliver(req)
		resp := p.wantSend("right answers", p.right, req.hdr.Exchange, true, "...")
		for range 3 {
			p.deliver(req)
			again := p.wantSend("right answers again", p.right, req.hdr.Exchange, true, "...")
			if !bytes.Equal(again.pk.data, resp.pk.data) {
				p.fatalf("a copy of %v is answered with other octets", req)
			}
		}
		p.deliver(resp)
	}
	p.wantIdle("left takes one answer")
	p.left.traffic("lan")
	p.drive(time.Second)
	if n := len(p.right.e.sas.bySPI); n != 1 {
		p.fatalf("right has %d IKE SAs", n)
	}
	p.wantTunnel()
}

// RFC 7296, Section 1.2: the responder asks for another group, and the initiator offers all of its
// groups again.
func TestInvalidKE(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		ecp := withGroup(testIKEProposal, wire.GroupECP256)
		p.left.peers[0].Proposals = []wire.Proposal{testIKEProposal, ecp}
		p.right.peers[0].Proposals = []wire.Proposal{ecp}
	})
	p.script(true)
	ref := p.left.connect("")
	p.deliver(p.wantSend("left guesses", p.left, wire.IKESAInit, false, initPayloads))
	refusal := p.wantSend("right wants another group", p.right, wire.IKESAInit, true, "N(INVALID_KE_PAYLOAD)")
	if n := firstOf[*wire.Notify](refusal.payloads); binary.BigEndian.Uint16(n.Data) != uint16(wire.GroupECP256) || refusal.hdr.ResponderSPI != 0 {
		p.fatalf("right wants %x, with SPI %v", n.Data, refusal.hdr.ResponderSPI)
	}
	p.deliver(refusal)
	again := p.wantSend("left obeys", p.left, wire.IKESAInit, false, strings.Replace(initPayloads, "x25519", "ecp256", 1))
	if n := len(firstOf[*wire.SA](again.payloads).Proposals); n != 2 {
		p.fatalf("left offers %d proposals", n)
	}
	p.deliver(refusal)
	p.wantIdle("left does not obey twice")
	p.deliver(again)
	p.script(false)
	for _, m := range p.right.out {
		p.arrive(m.pk)
	}
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// RFC 7296, Section 2.6.1: a cookie and then another group; the retry for the group carries the
// cookie.
func TestCookieAndInvalidKE(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		ecp := withGroup(testIKEProposal, wire.GroupECP256)
		p.left.peers[0].Proposals = []wire.Proposal{testIKEProposal, ecp}
		p.right.peers[0].Proposals = []wire.Proposal{ecp, testIKEProposal}
		p.right.config.Limits.CookieThreshold = 1
	})
	a := newAttack(p)
	for range 3 {
		r := a.newRogue(p.right)
		ps := r.payloads()
		proposal := withGroup(testIKEProposal, wire.GroupECP256)
		proposal.Number = 1
		ke, _ := fakeKEs{random: seededRand(a.forged, "rogue")}.New(wire.GroupECP256)
		ps[0], ps[1] = &wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.KE{Group: wire.GroupECP256, Data: ke.Public()}
		a.inject(p.right, attacker, r.message(ps))
	}
	p.drive(50 * time.Millisecond)
	p.script(true)
	ref := p.left.connect("")
	p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, initPayloads))
	demand := p.wantSend("right is flooded", p.right, wire.IKESAInit, true, "N(COOKIE)")
	p.deliver(demand)
	second := p.wantSend("left brings the cookie", p.left, wire.IKESAInit, false, "N(COOKIE), "+initPayloads)
	if n, ok := second.payloads[0].(*wire.Notify); !ok || n.Kind != wire.Cookie || !bytes.Equal(n.Data, firstOf[*wire.Notify](demand.payloads).Data) {
		p.fatalf("the cookie is not first, or not the same")
	}
	p.deliver(second)
	p.deliver(p.wantSend("right wants another group", p.right, wire.IKESAInit, true, "N(INVALID_KE_PAYLOAD)"))
	third := p.wantSend("left obeys, with the cookie", p.left, wire.IKESAInit, false, "N(COOKIE), "+strings.Replace(initPayloads, "x25519", "ecp256", 1))
	p.deliver(third)
	p.script(false)
	for _, m := range p.right.out {
		p.arrive(m.pk)
	}
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// Anybody who sees the SPI can answer an IKE_SA_INIT request. No such response keeps the initiator
// from accepting the genuine one (RFC 7296, Section 2.21.1).
func TestSpoofedInitAnswers(t *testing.T) {
	ecp := []byte{0, byte(wire.GroupECP256)}
	for name, spoof := range map[string][]wire.Payload{
		"no proposal chosen":      {&wire.Notify{Kind: wire.NoProposalChosen}},
		"authentication failed":   {&wire.Notify{Kind: wire.AuthenticationFailed}},
		"invalid syntax":          {&wire.Notify{Kind: wire.InvalidSyntax}},
		"a group not offered":     {&wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, 2}}},
		"a group of odd length":   {&wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{31}}},
		"the same group":          {&wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, byte(wire.GroupX25519)}}},
		"another offered group":   {&wire.Notify{Kind: wire.InvalidKEPayload, Data: ecp}},
		"an empty cookie":         {&wire.Notify{Kind: wire.Cookie}},
		"a huge cookie":           {&wire.Notify{Kind: wire.Cookie, Data: make([]byte, 65)}},
		"a false cookie":          {&wire.Notify{Kind: wire.Cookie, Data: make([]byte, 20)}},
		"a critical payload":      {&wire.Unknown{PayloadType: 190, Critical: true}},
		"nothing":                 nil,
		"a proposal not offered":  spoofedAnswer("gcm128 prf256 x25519", make([]byte, 34)),
		"a bad public value":      spoofedAnswer("gcm256 prf256 x25519", make([]byte, 34)),
		"a short public value":    spoofedAnswer("gcm256 prf256 x25519", []byte{1}),
		"two proposals":           {&wire.SA{Proposals: []wire.Proposal{testIKEProposal, testIKEProposal}}, &wire.KE{Group: wire.GroupX25519, Data: make([]byte, 34)}, &wire.Nonce{Data: make([]byte, 32)}},
		"the SA payload withheld": {&wire.KE{Group: wire.GroupX25519, Data: make([]byte, 34)}, &wire.Nonce{Data: make([]byte, 32)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].Proposals = []wire.Proposal{testIKEProposal, withGroup(testIKEProposal, wire.GroupECP256)}
				p.right.peers[0].Proposals = slices.Clone(p.left.peers[0].Proposals)
			})
			p.script(true)
			a := newAttack(p)
			ref := p.left.connect("")
			req := p.wantSend("left asks", p.left, wire.IKESAInit, false, "...")
			for range 20 {
				m := wire.Message{Header: wire.Header{InitiatorSPI: req.hdr.InitiatorSPI, ResponderSPI: 0xbad, Exchange: wire.IKESAInit, Response: true}, Payloads: spoof}
				a.inject(p.left, p.right.home(), m.AppendTo(nil))
				p.drive(10 * time.Millisecond)
			}
			if n := len(p.left.out); n > 6 {
				p.fatalf("20 spoofed answers make left send %d messages", n)
			}
			p.deliver(req)
			p.script(false)
			for _, s := range []*testSide{p.left, p.right} {
				for _, m := range s.out {
					p.send(m.pk)
				}
				s.out = nil
			}
			p.drive(30 * time.Second)
			if name == "a false cookie" && p.left.done[ref] != nil {
				// AUTH covers the request with the cookie, but the response was to the one before.
				// An observer on the path can spoil an attempt in this way, but not the next one.
				ref = p.left.connect("")
				p.drive(30 * time.Second)
			}
			p.wantDone(p.left, ref, "")
			p.wantTunnel()
		})
	}
}

// TestRefusedInitIsTold looks for the cause of a first exchange that does not succeed: what the
// responder did wrong, in true words, and not an older reason.
func TestRefusedInitIsTold(t *testing.T) {
	good := spoofedAnswer("gcm256 prf256 x25519", make([]byte, 34))
	with := func(i int, p wire.Payload) []wire.Payload {
		ps := slices.Clone(good)
		ps[i] = p
		return ps
	}
	withSPI := testIKEProposal
	withSPI.Number, withSPI.SPI = 1, make([]byte, 8)
	for _, c := range []struct {
		name   string
		answer []wire.Payload
		reason string
	}{
		{"the group that we sent", []wire.Payload{&wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, byte(wire.GroupX25519)}}}, "names key exchange x25519, which is the one we sent"},
		{"a group not offered", []wire.Payload{&wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, 2}}}, "which we do not offer"},
		{"nonce of 15 octets", with(2, &wire.Nonce{Data: make([]byte, 15)}), "malformed response to IKE_SA_INIT: Nonce"},
		{"no nonce", good[:2], "malformed response to IKE_SA_INIT: missing Nonce payload"},
		{"critical payload", append(slices.Clone(good), &wire.Unknown{PayloadType: 190, Critical: true}), "unsupported critical payload"},
		{"two proposals", with(0, &wire.SA{Proposals: []wire.Proposal{testIKEProposal, testIKEProposal}}), "it must choose one proposal, and chose 2"},
		{"an SPI in the proposal", with(0, &wire.SA{Proposals: []wire.Proposal{withSPI}}), "has an SPI of 8 octets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttack(newPair(t, 1, nil))
			a.script(true)
			a.left.connect("")
			req := a.wantSend("left asks", a.left, wire.IKESAInit, false, "...")
			m := wire.Message{Header: wire.Header{InitiatorSPI: req.hdr.InitiatorSPI, ResponderSPI: 0xbad, Exchange: wire.IKESAInit, Response: true}, Payloads: c.answer}
			a.inject(a.left, a.right.home(), m.AppendTo(nil))
			a.drive(refusalGrace + time.Second)
			if why := a.left.e.peers.order[0].party.Reason; !strings.Contains(why, c.reason) {
				t.Errorf("the reason is %q, want one with %q", why, c.reason)
			}
		})
	}
}

func spoofedAnswer(words string, public []byte) []wire.Payload {
	p := wire.Proposal{Number: 1, Protocol: wire.ProtoIKE}
	for w := range strings.FieldsSeq(words) {
		p.Transforms = append(p.Transforms, proposaltest.Transforms[w])
	}
	return []wire.Payload{&wire.SA{Proposals: []wire.Proposal{p}}, &wire.KE{Group: wire.GroupX25519, Data: public}, &wire.Nonce{Data: make([]byte, 32)}}
}

// A peer that is not there: retransmissions as configured, then the next address, then a growing
// pause; the name is resolved again.
func TestNobodyThere(t *testing.T) {
	p := newPair(t, 1, nil)
	p.link = func(*testPacket) []time.Duration { return nil }
	ref := p.left.connect("")
	p.drive(2 * time.Minute)
	p.wantDone(p.left, ref, "no answer to IKE_SA_INIT from 192.0.2.2")
	if len(p.left.resolves) == 0 || p.left.resolves[0] != "right" {
		p.fatalf("no Resolve: %v", p.left.resolves)
	}
	tries := window.RetransmitPlan{}.WithDefaults().Tries
	if n := p.left.e.Counters()["ike_retransmitted"]; n != uint64(tries) {
		p.fatalf("sent again %d times, want %d", n, tries)
	}
	if st := p.left.e.Status()[0]; st.State != PeerDown || !strings.Contains(st.Reason, "no answer") {
		p.fatalf("status %+v", st)
	}
	if left := p.left.leftovers(); left != "" {
		p.fatalf("%s", left)
	}
}

// One round of attempts finds the address that answers, of several.
func TestNextAddress(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		dead := p.left.addrs[0].Next().Next().Next()
		p.left.peers[0].Remote = append([]netip.Addr{dead, dead.Next()}, p.left.peers[0].Remote...)
	})
	ref := p.left.connect("")
	p.drive(5 * time.Minute)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
	p.wantNotice(p.left, "connect-failed")
}

// A second response to IKE_SA_INIT, while that to the first is computed, is counted and ignored.
func TestSecondInitResponse(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.compute = func() time.Duration { return 50 * time.Millisecond }
	})
	p.script(true)
	ref := p.left.connect("")
	p.drive(time.Second)
	p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, initPayloads))
	p.drive(200 * time.Millisecond)
	resp := p.wantSend("right answers", p.right, wire.IKESAInit, true, initResponse)
	p.script(false)
	p.arrive(resp.pk)
	p.arrive(resp.pk)
	if n := p.left.e.Counters()["ike_stale_response"]; n != 1 {
		t.Errorf("%d stale responses are counted, want 1", n)
	}
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}
