package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// childlessLeft has left ask right for an IKE SA alone, and returns right's answer, which is lost.
func childlessLeft(t *testing.T, edit func(p *testPair)) (*attack, *testMessage) {
	a := newAttack(newPair(t, 1, edit))
	a.script(true)
	a.left.connect("")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
	m := a.wantSend("right answers", a.right, wire.IKESAInit, true, "..., N(CHILDLESS_IKEV2_SUPPORTED)")
	if n, _ := wire.FindNotify(m.payloads, wire.ChildlessIKEv2Supported); n.Protocol != wire.ProtoIKE || len(n.SPI)+len(n.Data) != 0 {
		t.Errorf("announced by %+v", n)
	}
	a.deliver(m)
	m = a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "...")
	keys, ps := a.tap.sas[[2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}], withoutChild(m.payloads)
	a.inject(a.right, a.left.home(), a.seal(keys, m.hdr, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
	return a, a.wantSend("right answers", a.right, wire.IKEAuth, true, "IDr, AUTH, V, V")
}

// withoutChild returns payloads without those of a Child SA.
func withoutChild(ps []wire.Payload) (list []wire.Payload) {
	for _, p := range ps {
		switch p.Type() {
		case wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr:
		default:
			list = append(list, p)
		}
	}
	return list
}

// TestChildless: a responder announces that it makes IKE SAs alone, and makes one. It answers with
// neither a Child SA nor an error, so that the peer keeps it. Child SAs follow by CREATE_CHILD_SA.
func TestChildless(t *testing.T) {
	a, m := childlessLeft(t, nil)
	if st := a.right.e.Status()[0]; st.State != PeerEstablished || st.Children[0].State != ChildWaiting {
		a.fatalf("after %v: state %v, child %v", m, st.State, st.Children[0].State)
	}
	a.wantNoChild("lan")
	offer, left := testESPProposal, testChild(a.left, "lan", 0)
	offer.Number, offer.SPI = 1, []byte{1, 2, 3, 4}
	a.asPeer(a.right, wire.CreateChildSA, &wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: make([]byte, 32)}, wireTS(false, left.Local), wireTS(true, left.Remote))
	a.wantSend("right grants a Child SA", a.right, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr")
	if n := len(a.right.plane.ofPolicy(a.right.policy("lan"))); n != 1 {
		a.fatalf("%d Child SAs, want one", n)
	}
}

// TestChildlessIsUsed: a responder whose child should always be up asks for it on the IKE SA that
// the peer made alone.
func TestChildlessIsUsed(t *testing.T) {
	a, _ := childlessLeft(t, func(p *testPair) { p.right.peers[0].Children[0].Start = StartBoot; p.right.peers[0].Remote = nil })
	a.drive(5 * time.Second) // the peer may ask first
	a.wantSend("right asks for a Child SA", a.right, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr")
}

// barely has left begin IKE SAs by mode, and right as well if both is set.
func barely(mode ChildlessMode, both bool) func(p *testPair) {
	return func(p *testPair) {
		p.left.peers[0].Childless = mode
		if both {
			p.right.peers[0].Childless = mode
		}
	}
}

// childrenInAuth returns how many requests of IKE_AUTH a side has sent that ask for a Child SA, and
// how many that do not.
func childrenInAuth(p *testPair, of *testSide) (with, without *int) {
	with, without = new(int), new(int)
	p.sees(func(m *testMessage) {
		switch {
		case m.from != of || m.hdr.Exchange != wire.IKEAuth || m.hdr.Response || !m.opened:
		case asksForChild(m.payloads):
			*with++
		default:
			*without++
		}
	})
	return with, without
}

// TestChildlessDialogue is the exchange of RFC 6023 with us as the initiator. The first Child SA
// has a key exchange of its own.
func TestChildlessDialogue(t *testing.T) {
	for _, mode := range []ChildlessMode{ChildlessPrefer, ChildlessForce} {
		p := newPair(t, 1, func(p *testPair) {
			barely(mode, false)(p)
			for _, s := range p.sides() {
				s.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
			}
		})
		p.script(true)
		ref := p.left.connect("")
		p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, initPayloads))
		p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, initResponse))
		p.deliver(p.wantSend("left proves itself", p.left, wire.IKEAuth, false, "IDi, IDr, N(INITIAL_CONTACT), AUTH, V"))
		p.deliver(p.wantSend("right proves itself", p.right, wire.IKEAuth, true, "IDr, AUTH, V, V"))
		p.deliver(p.wantSend("left asks for a Child SA", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519), TSi, TSr"))
		p.deliver(p.wantSend("right grants it", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(x25519), TSi, TSr"))
		p.wantIdle("that is all")
		p.wantDone(p.left, ref, "")
		p.script(false)
		p.left.traffic("lan")
		p.drive(time.Second)
		p.wantTunnel()
		if st := p.left.e.Status()[0].Children[0]; st.Proposal != "aes128gcm16-x25519" {
			t.Errorf("the first Child SA has %s", st.Proposal)
		}
	}
}

// TestChildlessPacketWaits: the packet that asked for the tunnel is sent when its Child SA is up.
func TestChildlessPacketWaits(t *testing.T) {
	p := newPair(t, 1, barely(ChildlessPrefer, false))
	p.left.traffic("lan")
	p.drive(2 * time.Second)
	p.wantTunnel()
	p.wantNoLoss()
	if n := p.left.requests(wire.CreateChildSA); n != 1 {
		t.Errorf("%d requests for a Child SA", n)
	}
}

// TestChildlessUnannounced: a peer that makes no IKE SAs without a Child SA is asked for one with,
// unless that is not allowed. Then the reason says so, at once where nothing else is to come.
func TestChildlessUnannounced(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		barely(ChildlessPrefer, false)(p)
		p.right.peers[0].Childless = ChildlessNever
	})
	p.script(true)
	p.left.connect("")
	p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, initPayloads))
	p.deliver(p.wantSend("right announces nothing", p.right, wire.IKESAInit, true, initPayloads))
	p.deliver(p.wantSend("left asks for a Child SA", p.left, wire.IKEAuth, false, "IDi, IDr, N(INITIAL_CONTACT), AUTH, SA, TSi, TSr, V"))

	p = newPair(t, 1, func(p *testPair) {
		barely(ChildlessForce, false)(p)
		p.right.peers[0].Childless = ChildlessNever
	})
	ref := p.left.connect("")
	p.drive(refusalGrace + time.Second)
	const why = `it does not announce IKE SAs without a Child SA (CHILDLESS_IKEV2_SUPPORTED), and childless = "force" allows no others`
	p.wantDone(p.left, ref, why)
	p.wantReason(p.left, why)
	if n := p.left.requests(wire.IKEAuth); n != 0 {
		t.Errorf("%d requests of IKE_AUTH", n)
	}
}

// TestChildlessStripped: a response without the announcement that somebody else made does not end
// the attempt, and is not followed where it is not allowed: the peer's own comes within the grace.
func TestChildlessStripped(t *testing.T) {
	a := newAttack(newPair(t, 1, barely(ChildlessForce, false)))
	a.script(true)
	ref := a.left.connect("")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, initPayloads))
	m := a.wantSend("right answers", a.right, wire.IKESAInit, true, initResponse)
	forged := wire.Message{Header: m.hdr}
	for _, pl := range m.payloads {
		if n, ok := pl.(*wire.Notify); !ok || n.Kind != wire.ChildlessIKEv2Supported {
			forged.Payloads = append(forged.Payloads, pl)
		}
	}
	a.inject(a.left, a.right.home(), forged.AppendTo(nil))
	a.script(false)
	a.deliver(m)
	a.drive(2 * time.Second)
	a.wantDone(a.left, ref, "")
	a.wantTunnel()
}

// TestChildlessLives runs lives of several children on IKE SAs that are begun without a Child SA,
// by one side or by both at once: rekeyings, reauthentications make-before-break, and reloads that
// change the mode, without a lost packet.
func TestChildlessLives(t *testing.T) {
	for _, both := range []bool{false, true} {
		for _, mode := range []ChildlessMode{ChildlessPrefer, ChildlessForce} {
			p := newPair(t, 1, func(p *testPair) {
				severalChildren(3)(p)
				barely(mode, both)(p)
				for i, s := range []*testSide{p.left, p.right} {
					s.peers[0].AuthLifetime, s.peers[0].Lifetime = 40*time.Second, time.Duration(15+i)*time.Second
				}
				if both {
					p.right.peers[0].Remote = defaultPeer(p.right, p.left).Remote
					for i := range p.right.peers[0].Children {
						p.right.peers[0].Children[i].Start = StartBoot
					}
				}
			})
			with, without := childrenInAuth(p, p.left)
			p.waitFor(10*time.Second, func() bool { return p.left.plane.senders() == 3 && p.right.plane.senders() == 3 })
			p.drive(2 * time.Second)
			p.wantTunnel()
			p.wantSteady(10 * time.Minute)
			if *with > 0 || *without < 10 && !both {
				t.Errorf("%v, both %v: %d requests of IKE_AUTH with a Child SA, %d without", mode, both, *with, *without)
			}
			asked := *without
			p.left.reload(editedPeer(p.left.peers[0], func(p *Peer) { p.Childless = ChildlessAllow }), true)
			p.wantSteady(2 * time.Minute)
			if !both && (*without != asked || *with == 0) {
				t.Errorf("%v: after the reload %d requests of IKE_AUTH with a Child SA, %d more without", mode, *with, *without-asked)
			}
		}
	}
}

// TestChildlessWithOneThatMakesNoMore has a peer that announces IKE SAs without a Child SA and
// makes Child SAs in IKE_AUTH only, or answers no CREATE_CHILD_SA. Where others are allowed, the
// next IKE SA begins with a Child SA, and the tunnel is up.
func TestChildlessWithOneThatMakesNoMore(t *testing.T) {
	for _, kind := range []wire.NotifyType{wire.NoAdditionalSAs, wire.NoProposalChosen, wire.InvalidKEPayload, 0} {
		p := newPair(t, 1, func(p *testPair) {
			barely(ChildlessPrefer, false)(p)
			p.left.peers[0].Children[0].Start = StartBoot
			refuseRekeys(p, kind, nil)
		})
		with, without := childrenInAuth(p, p.left)
		p.waitFor(time.Minute, func() bool { return p.left.plane.senders() == 1 })
		p.drive(5 * time.Second)
		p.wantTunnel()
		if *with != 1 || *without != 1 {
			t.Errorf("%v: %d requests of IKE_AUTH with a Child SA, %d without", kind, *with, *without)
		}
		if said := p.left.saidAll(); !strings.Contains(said, "begun without a Child SA: the next one begins with one") {
			t.Errorf("%v: it says %s", kind, said)
		}
	}
}

// TestChildlessForcedOnARefuser: no IKE SA begins with a Child SA, and they are not begun without
// end.
func TestChildlessForcedOnARefuser(t *testing.T) {
	for _, kind := range []wire.NotifyType{wire.NoAdditionalSAs, wire.NoProposalChosen} {
		p := newPair(t, 1, func(p *testPair) {
			barely(ChildlessForce, false)(p)
			p.left.peers[0].Children[0].Start = StartBoot
			refuseAll(p, kind)
		})
		with, without := childrenInAuth(p, p.left)
		p.drive(10 * time.Minute)
		if *with != 0 || *without != 1 {
			t.Errorf("%v: %d requests of IKE_AUTH with a Child SA, %d without", kind, *with, *without)
		}
		if n := p.left.requests(wire.CreateChildSA); n < 5 || n > 40 {
			t.Errorf("%v: %d requests for a Child SA in 10 minutes", kind, n)
		}
		if st := p.left.e.Status()[0]; st.State != PeerEstablished || !strings.Contains(st.Children[0].Reason, kind.String()) {
			t.Errorf("%v: %v, child: %s", kind, st.State, st.Children[0].Reason)
		}
	}
}

// TestChildlessResponseWithAChild: a Child SA that was not asked for is left alone.
func TestChildlessResponseWithAChild(t *testing.T) {
	a := newAttack(newPair(t, 1, barely(ChildlessPrefer, false)))
	a.script(true)
	a.left.connect("")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, initPayloads))
	a.deliver(a.wantSend("right answers", a.right, wire.IKESAInit, true, initResponse))
	a.deliver(a.wantSend("left proves itself", a.left, wire.IKEAuth, false, "..."))
	m := a.wantSend("right proves itself", a.right, wire.IKEAuth, true, "...")
	offer, c := testESPProposal, testChild(a.left, "lan", 0)
	offer.Number, offer.SPI = 1, []byte{1, 2, 3, 4}
	a.answerAs(m, append(m.payloads, &wire.SA{Proposals: []wire.Proposal{offer}}, wireTS(false, c.Local), wireTS(true, c.Remote)))
	a.wantSend("left asks for a Child SA", a.left, wire.CreateChildSA, false, "...")
	if n := len(a.left.plane.ofPolicy(a.left.policy("lan"))); n != 0 {
		t.Errorf("left has %d Child SAs", n)
	}
}

// TestChildlessReplacesNothingItLacks has an IKE SA with a Child SA be replaced by one without, on
// which the peer refuses it: the old one carries the packets until one that begins with a Child SA
// is up. From then on those that take the place of others begin with one, however late.
func TestChildlessReplacesNothingItLacks(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		shortLives(p)
		p.left.peers[0].Children[0].Lifetime = time.Hour
		p.left.peers[0].AuthLifetime = 5 * time.Minute
	})
	with, without := childrenInAuth(p, p.left)
	p.up2()
	refuseAll(p, wire.NoProposalChosen)
	p.left.reload(editedPeer(p.left.peers[0], func(p *Peer) { p.Childless = ChildlessPrefer }), true)
	p.wantSteadyTraffic(2 * bareDefect)
	if *without != 1 || *with < 20 {
		t.Errorf("%d requests of IKE_AUTH with a Child SA, %d without", *with, *without)
	}
	p.wantTunnel()
}
