package ike

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// refuseRekeys has right answer each CREATE_CHILD_SA request of left with the notify, as a peer
// does that makes no Child SA but the first (RFC 7296, Section 4). With 0 it does not answer.
func refuseRekeys(p *testPair, kind wire.NotifyType, data []byte) {
	refuseWhere(p, func(*testMessage) (*wire.Notify, bool) { return &wire.Notify{Kind: kind, Data: data}, true })
}

// refuseWhere has right answer a CREATE_CHILD_SA request of left with a notify, if refuse says so
// for it. One of kind 0 stands for no answer.
func refuseWhere(p *testPair, refuse func(request *testMessage) (*wire.Notify, bool)) {
	a, link := newAttack(p), p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from != p.left || pk.msg == nil || pk.msg.hdr.Exchange != wire.CreateChildSA || pk.msg.hdr.Response {
			return link(pk)
		}
		n, refused := refuse(pk.msg)
		if !refused {
			return link(pk)
		}
		h := pk.msg.hdr
		if n.Kind == 0 {
			return nil
		}
		h.Initiator, h.Response = !h.Initiator, true
		p.events.add(p.now.Add(20*time.Millisecond), func() {
			s := p.right.e.lookup(pk.msg.hdr)
			if s == nil || s.win.ExpectedID() != h.MessageID {
				return
			}
			st := s.win.State()
			st.Expected++
			s.win.Restore(st)
			keys := a.tap.sas[[2]wire.SPI{h.InitiatorSPI, h.ResponderSPI}]
			keys.answeredID[!h.Initiator] = h.MessageID + 1
			ps := []wire.Payload{n}
			a.inject(p.left, p.right.home(), a.seal(keys, h, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
		})
		return nil
	}
}

// otherGroup is an INVALID_KE_PAYLOAD that names another group than that of the request, of two in
// alternation.
func otherGroup(request *testMessage) *wire.Notify {
	group := wire.GroupECP256
	if ke := firstOf[*wire.KE](request.payloads); ke != nil && ke.Group == group {
		group = wire.GroupX25519
	}
	return &wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, byte(group)}}
}

// shortLives gives the Child SAs of a pair a lifetime of 20 s, with traffic both ways.
func shortLives(p *testPair) {
	for _, s := range []*testSide{p.left, p.right} {
		s.peers[0].Children[0].Lifetime = 20 * time.Second
	}
	p.right.peers[0].Children[0].Lifetime = time.Hour // left rekeys
}

// wantSteadyTraffic sends both ways for a time, and checks that nothing is lost, that there always
// is a Child SA, and that the IKE SAs stay few.
func (p *testPair) wantSteadyTraffic(d time.Duration) {
	p.t.Helper()
	p.lost = nil
	for end := p.now.Add(d); p.now.Before(end); {
		p.left.traffic("lan")
		p.right.traffic("lan")
		p.drive(50 * time.Millisecond)
		for _, s := range []*testSide{p.left, p.right} {
			if n := len(s.e.peers.order[0].party.sas); n > 6 {
				p.fatalf("%s has %d IKE SAs", s.name, n)
			}
		}
	}
	p.drive(5 * time.Second)
	p.wantNoLoss()
	for _, s := range []*testSide{p.left, p.right} {
		for _, n := range s.notices {
			if n.Event == "child-down" {
				p.fatalf("%s had no Child SA: %s", s.name, n.Text)
			}
		}
	}
}

// TestRefusedRekeys has the peer refuse each rekeying of a Child SA, for each reason that lasts. A
// new IKE SA takes the place of the old one each time: over 20 lifetimes no packet is lost, and the
// first refusal is told.
func TestRefusedRekeys(t *testing.T) {
	ecp256 := []byte{0, byte(wire.GroupECP256)}
	for name, c := range map[string]struct {
		answer *wire.Notify // nil: otherGroup
		say    string
		slow   bool // it takes a while until it counts as refused
	}{
		"NO_ADDITIONAL_SAS":     {&wire.Notify{Kind: wire.NoAdditionalSAs}, "makes none but the first", false},
		"NO_PROPOSAL_CHOSEN":    {&wire.Notify{Kind: wire.NoProposalChosen}, "its setting for PFS differs (key exchanges offered: none)", false},
		"TS_UNACCEPTABLE":       {&wire.Notify{Kind: wire.TSUnacceptable}, "it does not grant the networks of the Child SA that is there any more", false},
		"INVALID_KE_PAYLOAD":    {&wire.Notify{Kind: wire.InvalidKEPayload, Data: ecp256}, "its setting for PFS differs", false},
		"groups in alternation": {nil, "the peer asks for another key exchange once too often", false},
		"TEMPORARY_FAILURE":     {&wire.Notify{Kind: wire.TemporaryFailure}, "the peer answered TEMPORARY_FAILURE to CREATE_CHILD_SA: it is busy with these SAs, and may accept it later, each time", true},
		"silence":               {&wire.Notify{}, "does not answer CREATE_CHILD_SA", true},
	} {
		t.Run(name, func(t *testing.T) {
			life, lives := 20*time.Second, 20
			if c.slow {
				life, lives = 10*time.Minute, 3
			}
			p := newPair(t, 1, func(p *testPair) {
				shortLives(p)
				p.left.peers[0].Children[0].Lifetime = life
				for _, s := range p.sides() {
					if c.answer == nil {
						s.peers[0].Children[0].Proposals = []wire.Proposal{addGroup(testESPProposal, wire.GroupECP256)}
					}
				}
			})
			p.up2()
			refuseWhere(p, func(request *testMessage) (*wire.Notify, bool) {
				if c.answer == nil {
					return otherGroup(request), true
				}
				return c.answer, true
			})
			p.wantSteadyTraffic(time.Duration(lives) * life)
			if n := p.left.requests(wire.IKESAInit); n > lives+5 {
				t.Errorf("%d IKE SAs were made in %d lifetimes", n, lives)
			}
			if main := p.left.e.peers.order[0].party.main(); main.succ.replaces != nil && name != "silence" {
				t.Error("the IKE SA keeps the one that it replaced in memory")
			}
			if !strings.Contains(p.left.saidAll(), c.say) {
				t.Errorf("left does not say %q: %s", c.say, p.left.saidAll())
			}
		})
	}
}

// TestReplacementStartsWhereThePeerIs has a reload put an address at which nobody answers before
// one at which the peer was reached. To wait for it first would take the Child SAs' last seconds.
func TestReplacementStartsWhereThePeerIs(t *testing.T) {
	p := newPair(t, 1, shortLives)
	p.up2()
	refuseRekeys(p, wire.NoAdditionalSAs, nil)
	p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.Remote = []netip.Addr{nobody, q.Remote[0]} }), false)
	p.wantSteadyTraffic(5 * 20 * time.Second)
	if n := p.left.requests(wire.IKESAInit); n < 5 {
		t.Errorf("%d IKE SAs were made in 5 lifetimes", n)
	}
}

// TestPFSOfEitherSide runs 20 lifetimes with a key exchange for Child SAs on one side only, on
// either, in both roles and with the default proposals against each.
func TestPFSOfEitherSide(t *testing.T) {
	with, without := withGroup(testESPProposal, wire.GroupX25519), testESPProposal
	other := withGroup(testESPProposal, wire.GroupECP256)
	for name, c := range map[string]struct {
		left, right []wire.Proposal
		in          string // left's notices
	}{
		"neither":              {[]wire.Proposal{without}, []wire.Proposal{without}, ""},
		"both":                 {[]wire.Proposal{with}, []wire.Proposal{with}, ""},
		"either, against with": {[]wire.Proposal{with, without}, []wire.Proposal{with}, ""},
		"either, against none": {[]wire.Proposal{with, without}, []wire.Proposal{without}, ""},
		"either, another":      {[]wire.Proposal{addGroup(with, wire.GroupECP256), without}, []wire.Proposal{other}, ""},
		"with, against none":   {[]wire.Proposal{with}, []wire.Proposal{without}, "its setting for PFS differs (key exchanges offered: x25519)"},
		"none, against with":   {[]wire.Proposal{without}, []wire.Proposal{with}, "its setting for PFS differs (key exchanges offered: none)"},
		"with, against other":  {[]wire.Proposal{with}, []wire.Proposal{other}, "its setting for PFS differs"},
	} {
		for _, first := range []string{"left", "right"} {
			t.Run(name+", "+first+" connects", func(t *testing.T) {
				p := newPair(t, 1, func(p *testPair) {
					shortLives(p)
					p.left.peers[0].Children[0].Proposals, p.right.peers[0].Children[0].Proposals = c.left, c.right
				})
				s := p.left
				if first == "right" {
					s = p.right
				}
				ref := s.connect("")
				p.drive(2 * time.Second)
				p.wantDone(s, ref, "")
				p.wantSteadyTraffic(400 * time.Second)
				said := p.left.saidAll()
				if c.in != "" && !strings.Contains(said, c.in) || c.in == "" && strings.Contains(said, "refused") {
					t.Errorf("left says %s, want %q", said, c.in)
				}
				p.wantTunnel()
			})
		}
	}
}

// TestPFSMismatchIsToldInTime: the first rekeying that is refused for PFS has the cause told, and a
// new IKE SA made at once, long before the Child SA that could not be rekeyed ends by its lifetime.
func TestPFSMismatchIsToldInTime(t *testing.T) {
	const life, hardEnd = 20 * time.Minute, 22 * time.Minute
	with, without := []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}, []wire.Proposal{testESPProposal}
	for name, lists := range map[string][2][]wire.Proposal{"left has it": {with, without}, "right has it": {without, with}} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				for i, s := range p.sides() {
					s.peers[0].Children[0].Proposals, s.peers[0].Children[0].Lifetime = lists[i], life
				}
			})
			p.up()
			made := p.now
			told := p.waitFor(life, func() bool { return strings.Contains(p.left.saidAll(), "its setting for PFS differs") })
			if n := p.left.requests(wire.CreateChildSA); n != 1 || told < life*9/10-3*time.Second || told > life*97/100+time.Second {
				p.fatalf("told after %v and %d requests", told, n)
			}
			p.waitFor(life, func() bool { return p.left.said("ike-up") == 2 && p.left.said("child-up") == 2 })
			if left := made.Add(hardEnd).Sub(p.now); left < hardEnd-life {
				p.fatalf("the new IKE SA is up %v before the end of the Child SA", left)
			}
			p.drive(5 * time.Second)
			p.wantTunnel()
			if n := p.left.requests(wire.IKESAInit); n != 2 || p.left.said("child-down") > 0 {
				p.fatalf("%d IKE SAs, %d times without a Child SA", n, p.left.said("child-down"))
			}
		})
	}
}

// addGroup returns the proposal with another key exchange method.
func addGroup(p wire.Proposal, group wire.TransformID) wire.Proposal {
	p = withGroup(p, wire.GroupX25519)
	p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformKE, ID: group})
	return p
}

// TestRekeyAtTheLimit rekeys each Child SA of an IKE SA that has as many as it may have: a
// replacement is not one more, on either side, and one more is refused.
func TestRekeyAtTheLimit(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		twoChildren(p)
		p.left.config.Limits.MaxChildren, p.right.config.Limits.MaxChildren = 2, 2
	})
	p.wantDone(p.left, p.left.connectFor2s(), "")
	for _, s := range []*testSide{p.left, p.right} {
		for _, name := range []string{"lan", "two"} {
			ref := s.rekey(name)
			p.drive(10 * time.Second)
			p.wantDone(s, ref, "")
		}
	}
	p.wantTunnel()
}

// pfsOnOneSide is a pair in which left alone has a key exchange for its Child SAs, so that only the
// one of IKE_AUTH can come up.
func pfsOnOneSide(p *testPair) {
	p.left.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
}

// TestRefuserReplaces has right's rekeyings refused by left, which alone can connect: left finds
// out that its own would be refused as well, and makes a new IKE SA before the Child SA expires.
func TestRefuserReplaces(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		pfsOnOneSide(p)
		p.left.peers[0].Children[0].Lifetime = time.Hour
		p.right.peers[0].Children[0].Lifetime = 2 * time.Minute
		p.right.peers[0].Remote = nil
	})
	p.up2()
	p.wantSteadyTraffic(10 * time.Minute)
	if n := p.left.requests(wire.IKESAInit); n < 4 || n > 8 {
		t.Errorf("%d IKE SAs in 10 minutes", n)
	}
	p.wantTunnel()
}

// TestRefusedAsNew has a Child SA that came up in IKE_AUTH end, while the IKE SA stays. The peer
// refuses another one on that IKE SA for good: it comes up on a new IKE SA.
func TestRefusedAsNew(t *testing.T) {
	for name, prepare := range map[string]func(p *testPair){
		"PFS of one side": func(*testPair) {},
		"no other Child SA but the first": func(p *testPair) {
			refuseRekeys(p, wire.NoAdditionalSAs, nil)
		},
		"by a command": func(p *testPair) {
			refuseRekeys(p, wire.NoAdditionalSAs, nil)
			p.left.reload(editedPeer(p.left.peers[0], func(q *Peer) { q.Children[0].Start = StartNever }), false)
			p.left.disconnect("lan")
			p.drive(time.Second)
			p.left.connect("lan")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				if name == "PFS of one side" {
					pfsOnOneSide(p)
				}
				p.left.peers[0].Children[0].Start = StartBoot
			})
			p.up2()
			prepare(p)
			if list := p.left.plane.ofPolicy(p.left.policy("lan")); len(list) > 0 {
				p.left.handle(Expire{ID: list[0].sa.ID, Hard: true})
			}
			p.drive(12 * time.Second)
			p.wantTunnel()
			if n := p.left.requests(wire.IKESAInit); n != 2 {
				t.Errorf("%d IKE SAs were begun, want 2", n)
			}
		})
	}
}

// A peer that makes a Child SA in IKE_AUTH only: what a command asks for comes up on a new IKE SA,
// and only then is the command answered; also while the IKE SA that carries nothing still stands,
// because the attempt to replace it failed.
func TestUpWhereOnlyIKEAuthMakesAChild(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartNever })
	p.up()
	refuseRekeys(p, wire.NoAdditionalSAs, nil)
	p.left.disconnect("lan")
	p.drive(time.Second)
	ref := p.left.connect("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()

	p.left.disconnect("lan")
	p.drive(10 * time.Second)
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKESAInit {
			return nil
		}
		return link(pk)
	}
	ref = p.left.connect("lan")
	p.drive(3 * time.Minute)
	p.wantDone(p.left, ref, "no answer to IKE_SA_INIT")
	ref = p.left.connect("lan")
	p.drive(time.Second)
	if c := p.left.e.Status()[0].Children[0]; !strings.Contains(c.Reason, "waiting for a new IKE SA: the peer answered NO_ADDITIONAL_SAS") {
		t.Errorf("the child's reason is %q", c.Reason)
	}
	p.link = link
	p.drive(2 * time.Minute)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// TestRefusedEverywhere has the peer refuse the Child SA in IKE_AUTH as well: no further IKE SA is
// made for it.
func TestRefusedEverywhere(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.right.peers[0].Children[0].Proposals = []wire.Proposal{{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}, {Type: wire.TransformESN, ID: wire.ESNNo},
		}}}
	})
	for range 3 {
		p.drive(5 * time.Minute)
		p.left.rekey("")
	}
	if n := p.left.requests(wire.IKESAInit); n != 1 {
		t.Errorf("%d IKE SAs were begun, want 1", n)
	}
}

// A child of two sides whose PFS differs can only come up in IKE_AUTH. Taken down at the responder
// and brought up again, it does so by another IKE SA, and by none while it is down.
func TestUpOfAChildWithAnotherPFS(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		allBoot(p)
		p.right.peers[0].Remote = nil
		p.right.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
	})
	p.drive(time.Minute)
	p.wantTunnel()
	p.down(p.right, "left", "lan")
	p.drive(10 * time.Minute)
	p.wantNoChild("lan")
	if n := p.left.requests(wire.IKESAInit); n != 2 {
		p.fatalf("%d IKE SAs were made, want the first and one that was refused its Child SA", n)
	}
	p.right.connect("lan") // its own request is refused
	took := p.waitFor(5*time.Minute, func() bool { return p.left.plane.senders() == 1 })
	if n := p.left.requests(wire.IKESAInit); n != 3 || took > 70*time.Second {
		p.fatalf("up after %v, with IKE SA %d", took, n)
	}
	p.drive(time.Minute)
	p.wantTunnel()
}

// TestReplacedBeforeItTookOver has the peer restart when a new IKE SA has just come up in place of
// an old one. The third one takes over from both.
func TestReplacedBeforeItTookOver(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		twoChildren(p)
		for i := range p.right.peers[0].Children {
			p.right.peers[0].Children[i].Start = StartBoot
		}
	})
	p.drive(2 * rekeyedLife)
	old := p.left.main()
	old.succ.outlook = outlookDying
	old.e.touch(old.party)
	for p.left.handle(Wake{}); p.left.main() == old; {
		p.drive(time.Millisecond)
	}
	hints := []Datagram{p.right.lostSPI(old.children.Pairs()[0].SA.SPIOut), p.right.lostSPI(p.left.main().children.Pairs()[0].SA.SPIOut)}
	p.right.kill()
	p.right.peers[0].Remote = nil
	p.right.start()
	for _, hint := range hints {
		p.left.handle(hint)
	}
	p.drive(replacePause + 500*time.Millisecond)
	for _, name := range []string{"lan", "two"} {
		psa := p.left.plane.sender(p.left.policy(name), 1)
		if psa == nil || p.right.plane.inbound[psa.sa.SPIOut] == nil {
			p.fatalf("%s: left sends on %+v", name, psa)
		}
	}
	p.drive(time.Minute)
	p.wantSound()
}
