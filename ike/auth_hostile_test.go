package ike

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// hostileAuth lists attacks by strangers that made the IKE_SA_INIT exchange, and so know its keys,
// but have no credential.
var hostileAuth = []hostileRow{
	{"CVE-2025-9242: IDi of 0, 1, 520 and 65000 octets", func(a *attack) {
		for _, typ := range []wire.IDType{0, wire.IDIPv4Addr, wire.IDFQDN, wire.IDDERDN, wire.IDKeyID, 200} {
			for _, n := range []int{0, 1, 520, 65000} {
				r := a.newRogue(a.right)
				r.sendInit(r.payloads())
				r.send(wire.IKEAuth, 1, r.authPayloads(&wire.ID{IDType: typ, Data: make([]byte, n)}))
			}
		}
		a.wantRefusals(24)
	}, false},
	{"CVE-2023-28771: identities and vendor IDs with shell, ANSI and format characters", func(a *attack) {
		for _, evil := range []string{"$(reboot);`id`|sh", "\x1b[2J\x1b[31mok", "a\nadmin logged in", "%s%n%x", "\u202egnp.exe", "\xff\xfe\x00"} {
			r := a.newRogue(a.right)
			r.sendInit(append(r.payloads(), &wire.VendorID{Data: []byte(evil)}))
			r.send(wire.IKEAuth, 1, r.authPayloads(&wire.ID{IDType: wire.IDFQDN, Data: []byte(evil)}))
		}
		a.wantRefusals(6)
		for _, n := range a.right.notices {
			if !identity.IsText(n.Text) || len(n.Text) > 2000 {
				a.fatalf("notice %q", n.Text)
			}
		}
		for _, st := range a.right.e.Status() {
			if !identity.IsText(st.Reason) || !identity.IsText(st.RemoteID) {
				a.fatalf("status %q %q", st.Reason, st.RemoteID)
			}
		}
	}, false},
	{"CVE-2013-6467: AUTH with a payload withheld or twice", func(a *attack) {
		for i := range 5 {
			for _, twice := range []bool{false, true} {
				r := a.newRogue(a.right)
				r.sendInit(r.payloads())
				ps := r.authPayloads(identity.ID{Type: wire.IDFQDN, Data: "left.example.com"}.Payload(false))
				if twice {
					ps = append(ps, ps[i])
				} else {
					ps = slices.Delete(ps, i, i+1)
				}
				r.send(wire.IKEAuth, 1, ps)
			}
		}
		a.wantRefusals(10)
	}, false},
	{"wrong AUTH of the right identity", func(a *attack) {
		r := a.newRogue(a.right)
		r.sendInit(r.payloads())
		r.send(wire.IKEAuth, 1, append(r.authPayloads(identity.ID{Type: wire.IDFQDN, Data: "left.example.com"}.Payload(false)), &wire.Notify{Protocol: wire.ProtoNone, Kind: wire.InitialContact}))
		a.wantRefusals(1)
	}, false},
	{"CVE-2019-12312: INFORMATIONAL, CREATE_CHILD_SA or INIT instead of AUTH", func(a *attack) {
		for _, ex := range []wire.ExchangeType{wire.Informational, wire.CreateChildSA, wire.IKESAInit, wire.IKEIntermediate, 99} {
			r := a.newRogue(a.right)
			r.sendInit(r.payloads())
			a.replies = nil
			for id := range uint32(3) {
				r.send(ex, id, []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}})
			}
			a.drive(time.Second)
			for _, reply := range a.replies {
				if firstOf[*wire.Notify](reply.msg.payloads) == nil {
					a.fatalf("%v is answered with %v", ex, reply.msg)
				}
			}
		}
	}, false},
	{"free5gc and CVE-2013-6466: SK with a bad pad length, empty, short", func(a *attack) {
		r := a.newRogue(a.right)
		r.sendInit(r.payloads())
		a.replies = nil
		r.shortSK()
		a.drive(time.Second)
		if len(a.replies) > 0 {
			a.fatalf("answered with %v", a.replies[0].msg)
		}
	}, false},
	{"CVE-2024-2357: no secret for the peer", func(a *attack) {
		left, right := a.left.peers[0], a.right.peers[0]
		right.PSK = nil
		a.right.peers[0] = right
		a.right.handle(SetPeers{Peers: slices.Clone(a.right.peers)})
		a.drive(2 * time.Minute)
		a.left.connect("")
		a.drive(2 * time.Minute)
		a.wantNoChild("lan")
		if n := a.right.e.sas.halfOpen.Count(); n != 0 {
			a.fatalf("%d half-open IKE SAs stay", n)
		}
		right.PSK, left.PSK = testPSK(), testPSK()
		a.right.peers[0] = right
		a.right.handle(SetPeers{Peers: slices.Clone(a.right.peers)})
	}, true},
}

// wantRefusals checks that nobody got in by the given number of attempts: every protected response
// is an error, and there is at most one for each attempt.
func (a *attack) wantRefusals(tries int) {
	a.t.Helper()
	a.drive(time.Second)
	answers := 0
	for _, r := range a.replies {
		if r.msg.hdr.Exchange != wire.IKEAuth {
			continue
		}
		answers++
		if n := firstOf[*wire.Notify](r.msg.payloads); n == nil || !n.Kind.IsError() || firstOf[*wire.Auth](r.msg.payloads) != nil {
			a.fatalf("answered with %v", r.msg)
		}
	}
	if answers > tries {
		a.fatalf("%d answers to %d tries", answers, tries)
	}
}

// shortSK sends SK payloads that are too short for what they must hold, or do not authenticate.
func (r *rogue) shortSK() {
	h := wire.Header{InitiatorSPI: r.id[0], ResponderSPI: r.id[1], MajorVersion: 2, Exchange: wire.IKEAuth, Initiator: true, MessageID: 1}
	for n := range 40 {
		m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.Encrypted{First: wire.PayloadIDi, Body: make([]byte, n)}}}
		r.a.inject(r.victim, attacker, m.AppendTo(nil))
	}
	for _, f := range [][2]uint16{{0, 0}, {5, 4}, {0, 1}, {1, 0}, {1, 65535}, {65535, 65535}} {
		m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.EncryptedFragment{First: wire.PayloadIDi, Number: f[0], Total: f[1], Body: make([]byte, 40)}}}
		r.a.inject(r.victim, attacker, m.AppendTo(nil))
	}
}

// hostileClear lists what anybody can send that knows the SPIs of a tunnel.
var hostileClear = []hostileRow{
	{"strongSwan 5.9.8: empty, short and malformed SK and SKF with the right SPIs", func(a *attack) {
		main, keys := a.established(a.right)
		r := &rogue{a: a, victim: a.right, id: [2]wire.SPI{main.spi.I, main.spi.R}, keys: keys}
		for _, id := range []uint32{0, main.win.ExpectedID() - 1, main.win.ExpectedID(), 1 << 31} {
			for _, response := range []bool{false, true} {
				a.garbage(r, wire.Informational, id, response)
				a.garbage(r, wire.CreateChildSA, id, response)
			}
		}
		a.wantReplies(0, 0)
	}, false},
	{"OpenIKED baf0c8e: the right SPIs from another address move nothing", func(a *attack) {
		main, _ := a.established(a.right)
		h := wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Initiator: true, MessageID: main.win.ExpectedID()}
		for _, ps := range [][]wire.Payload{nil, {&wire.Delete{Protocol: wire.ProtoIKE}}, {&wire.Notify{Kind: wire.InvalidSyntax}}} {
			for _, response := range []bool{false, true} {
				h.Response = response
				m := wire.Message{Header: h, Payloads: ps}
				a.inject(a.right, attacker, m.AppendTo(nil))
				a.inject(a.right, netip.AddrPortFrom(attacker.Addr(), 4500), m.AppendTo(nil))
			}
		}
		a.drive(time.Second)
		a.wantReplies(0, 0)
	}, false},
	{"CVE-2009-0790: INFORMATIONAL for unknown SPIs", func(a *attack) {
		for i := range uint64(100) {
			m := wire.Message{Header: wire.Header{InitiatorSPI: wire.SPI(i + 1), ResponderSPI: wire.SPI(i), Exchange: wire.Informational, Initiator: i%2 == 0}}
			a.inject(a.right, attacker, m.AppendTo(nil))
		}
		for _, r := range a.replies {
			if n := firstOf[*wire.Notify](r.msg.payloads); n == nil || n.Kind != wire.InvalidIKESPI && n.Kind != wire.InvalidMessageID {
				a.fatalf("answered with %v", r.msg)
			}
		}
		if len(a.replies) > 20 {
			a.fatalf("%d replies: they should be limited", len(a.replies))
		}
	}, false},
	{"CVE-2019-10155: every bit of every kind of protected message flipped", func(a *attack) {
		a.flipBits(wire.Informational, wire.NoNextPayload, nil)
		main, _ := a.established(a.right)
		rekey := []wire.Payload{&wire.Notify{Protocol: wire.ProtoESP, Kind: wire.RekeySA, SPI: spiOctets(main.children.Pairs()[0].SA.SPIOut)}}
		a.flipBits(wire.CreateChildSA, wire.PayloadNotify, wire.AppendPayloads(nil, rekey))
	}, false},
	{"RFC 7383: fragments in the worst order, without keys", func(a *attack) {
		main, _ := a.established(a.right)
		h := wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Initiator: true, MessageID: main.win.ExpectedID()}
		for n := uint16(65535); n > 60000; n-- {
			m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.EncryptedFragment{Number: n, Total: 65535 - n%3, Body: make([]byte, 200)}}}
			a.inject(a.right, attacker, m.AppendTo(nil))
		}
		if have := main.win.Fragments(wire.Header{}).Held(); have != 0 {
			a.fatalf("%d octets and slots are kept for a stranger", have)
		}
	}, false},
}

// garbage sends unauthentic SK and SKF payloads of all short lengths.
func (a *attack) garbage(r *rogue, ex wire.ExchangeType, id uint32, response bool) {
	h := wire.Header{InitiatorSPI: r.id[0], ResponderSPI: r.id[1], Exchange: ex, Initiator: true, Response: response, MessageID: id}
	for n := range 40 {
		m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.Encrypted{First: wire.PayloadDelete, Body: make([]byte, n)}}}
		a.inject(a.right, attacker, m.AppendTo(nil))
	}
	for _, f := range [][2]uint16{{0, 0}, {5, 4}, {1, 1}, {1, 2}, {1, 65535}} {
		m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.EncryptedFragment{Number: f[0], Total: f[1], Body: make([]byte, 40)}}}
		a.inject(a.right, attacker, m.AppendTo(nil))
	}
}

// flipBits injects an authentic request with each of its bits flipped in turn. The only response
// allowed is a hint that an SPI is unknown.
func (a *attack) flipBits(ex wire.ExchangeType, first wire.PayloadType, plain []byte) {
	a.t.Helper()
	before := a.right.snapshot()
	data := a.forgeRequest(a.right, ex, first, plain)
	for i := range len(data) * 8 {
		bad := slices.Clone(data)
		bad[i/8] ^= 1 << (i % 8)
		a.inject(a.right, attacker, bad)
		if after := a.right.snapshot(); after != before {
			a.fatalf("bit %d of %v changes the state from\n%s\nto\n%s", i, ex, before, after)
		}
	}
	for _, r := range a.replies {
		if r.msg.protected {
			a.fatalf("a flipped bit of %v is answered with %v", ex, r.msg)
		}
	}
	a.replies = nil
}

// TestRefusedAuthIsTold has initiators ask for what is not supported: each is refused with the
// notify that the RFC names, and the cause is told.
func TestRefusedAuthIsTold(t *testing.T) {
	without := func(types ...wire.PayloadType) func(ps []wire.Payload) []wire.Payload {
		return func(ps []wire.Payload) []wire.Payload {
			return slices.DeleteFunc(ps, func(p wire.Payload) bool { return slices.Contains(types, p.Type()) })
		}
	}
	for _, c := range []struct {
		name   string
		edit   func(ps []wire.Payload) []wire.Payload
		answer wire.NotifyType
		reason string
	}{
		{"EAP", without(wire.PayloadAuth), wire.AuthenticationFailed, "it wants EAP authentication, which is not supported"},
		{"no SA", without(wire.PayloadSA), wire.InvalidSyntax, "SA, TSi and TSr must be present together"},
		{"traffic selectors of one side alone", without(wire.PayloadSA, wire.PayloadTSi), wire.InvalidSyntax, "SA, TSi and TSr must be present together"},
		{"two IDi", func(ps []wire.Payload) []wire.Payload { return append(ps, ps[0]) }, wire.InvalidSyntax, "duplicate IDi payload"},
		{"no TSr", without(wire.PayloadTSr), wire.InvalidSyntax, "SA, TSi and TSr must be present together"},
		{"no IDi", without(wire.PayloadIDi), wire.InvalidSyntax, "missing IDi payload"},
		{"unknown method", func(ps []wire.Payload) []wire.Payload {
			ps[1] = &wire.Auth{Method: 99, Data: make([]byte, 32)}
			return ps
		}, wire.AuthenticationFailed, "authenticates with authentication method(99), not with a pre-shared key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttack(newPair(t, 1, nil))
			r := a.newRogue(a.right)
			r.sendInit(r.payloads())
			id := identity.ID{Type: wire.IDFQDN, Data: "left.example.com"}.Payload(false)
			r.send(wire.IKEAuth, 1, c.edit(r.authPayloads(id)))
			last := a.replies[len(a.replies)-1].msg
			if _, ok := wire.FindNotify(last.payloads, c.answer); !ok {
				t.Errorf("the answer is %v, want %v", last, c.answer)
			}
			if why := a.right.refused; len(why) != 1 || !strings.Contains(why[0].Text, c.reason) || (why[0].Claims == "left") != (c.name != "no IDi") {
				t.Errorf("strangers %+v, want one with %q, and whom it claims to be", why, c.reason)
			}
		})
	}
}

// TestMalformedAuthResponse has right's response to IKE_AUTH replaced by one that is authentic and
// malformed: right is told to delete what it made, and the attempt fails with the reason.
func TestMalformedAuthResponse(t *testing.T) {
	id := identity.ID{Type: wire.IDFQDN, Data: "right.example.com"}.Payload(true)
	auth := &wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)}
	for name, c := range map[string]struct {
		ps  []wire.Payload
		why string
	}{
		"AUTH twice":        {[]wire.Payload{id, auth, auth}, "duplicate AUTH payload"},
		"no IDr":            {[]wire.Payload{auth}, "missing IDr payload"},
		"an error, no IDr":  {[]wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}, auth}, "missing IDr payload"},
		"half a Child SA":   {[]wire.Payload{id, auth, &wire.SA{Proposals: []wire.Proposal{testESPProposal}}}, "SA, TSi and TSr"},
		"a nonce":           {[]wire.Payload{id, auth, &wire.Nonce{Data: make([]byte, 32)}}, "unexpected Nonce payload"},
		"unknown method":    {[]wire.Payload{id, &wire.Auth{Method: 99, Data: make([]byte, 32)}}, "authentication method(99)"},
		"critical, unknown": {[]wire.Payload{id, auth, &wire.Unknown{PayloadType: 200, Critical: true}}, "unsupported critical payload"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttack(newPair(t, 1, nil))
			a.script(true)
			ref := a.left.connect("")
			a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
			a.deliver(a.wantSend("right answers", a.right, wire.IKESAInit, true, "..."))
			m := a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "...")
			a.deliver(m)
			a.wantSend("right answers, which is lost", a.right, wire.IKEAuth, true, "...")
			if st := a.right.e.Status()[0]; st.State != PeerEstablished {
				a.fatalf("right is in state %d", st.State)
			}
			h := m.hdr
			h.Initiator, h.Response = false, true
			keys := a.tap.sas[[2]wire.SPI{h.InitiatorSPI, h.ResponderSPI}]
			a.inject(a.left, a.right.home(), a.seal(keys, h, wire.FirstType(c.ps), wire.AppendPayloads(nil, c.ps)))
			tell := "D(IKE)"
			if name == "unknown method" { // well-formed, but it proves nothing
				tell = "N(AUTHENTICATION_FAILED)"
			}
			a.deliver(a.wantSend("left ends it", a.left, wire.Informational, false, tell))
			a.wantDone(a.left, ref, c.why)
			a.wantNoChild("lan")
			if st := a.right.e.Status()[0]; st.State != PeerDown {
				a.fatalf("right is in state %d", st.State)
			}
			a.deliver(a.wantSend("right answers", a.right, wire.Informational, true, ""))
			if n := len(a.left.e.sas.bySPI); n != 0 {
				a.fatalf("left has %d IKE SAs", n)
			}
		})
	}
}

// TestChildlessAuthResponse has right's response to IKE_AUTH authenticate right and say nothing of
// the Child SA, as of an IKE SA without one (RFC 6023): the IKE SA stays, no child comes up, the
// command that asked for one is told so, and right is told to delete what it made.
func TestChildlessAuthResponse(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	a.script(true)
	ref := a.left.connect("")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
	a.deliver(a.wantSend("right answers", a.right, wire.IKESAInit, true, "..."))
	a.deliver(a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "..."))
	m := a.wantSend("right answers, which is lost", a.right, wire.IKEAuth, true, "IDr, AUTH, ...")
	keys := a.tap.sas[[2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}]
	ps := m.payloads[:2]
	a.inject(a.left, a.right.home(), a.seal(keys, m.hdr, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
	a.wantDone(a.left, ref, "it has no valid Child SA")
	a.deliver(a.wantSend("left deletes it", a.left, wire.Informational, false, "D(ESP x1)"))
	a.deliver(a.wantSend("right answers", a.right, wire.Informational, true, "D(ESP x1)"))
	a.wantNoChild("lan")
	for _, s := range a.sides() {
		if st := s.e.Status()[0]; st.State != PeerEstablished {
			a.fatalf("%s is in state %d", s.name, st.State)
		}
	}
}

// TestResponderWantsEAP has the responder answer IKE_AUTH with a request of EAP.
func TestResponderWantsEAP(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	a.script(true)
	ref := a.left.connect("")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
	a.deliver(a.wantSend("right answers", a.right, wire.IKESAInit, true, "..."))
	m := a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "...")
	h := m.hdr
	h.Initiator, h.Response = false, true
	ps := []wire.Payload{
		identity.ID{Type: wire.IDFQDN, Data: "right.example.com"}.Payload(true),
		&wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)}, &wire.EAP{Data: []byte{1, 0, 0, 5, 1}},
	}
	keys := a.tap.sas[[2]wire.SPI{h.InitiatorSPI, h.ResponderSPI}]
	a.inject(a.left, a.right.home(), a.seal(keys, h, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
	a.drive(time.Second)
	a.wantDone(a.left, ref, "the peer asks for EAP authentication")
}
