package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestNeedlessIKERekeying: a rekeying that is no longer needed when its turn comes makes way for
// the next exchange.
func TestNeedlessIKERekeying(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	var fx Effects
	p.left.e.handling = handling{now: p.now, fx: &fx}
	s := p.left.e.peers.order[0].party.main()
	s.succ.theirs = &ikeSA{} // the peer rekeys it already
	x := &rekeyExchange{}
	s.succ.ours = x
	next := &informational{}
	s.work.Add(x, next)
	s.startNext()
	if s.work.Current() != next || s.succ.ours != nil {
		t.Errorf("the exchange under way is %T, want the one behind the rekeying", s.work.Current())
	}
}

// TestIKERekeyingThatCannotBeMade: the command is answered at once, and the IKE SA is rekeyed after
// a pause.
func TestIKERekeyingThatCannotBeMade(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0 })
	p.up()
	e, old := p.left.e, p.left.main()
	sound := e.cfg
	e.cfg.Rand = brokenReader{}
	ref := p.left.rekey("")
	p.drive(10 * time.Millisecond)
	p.wantDone(p.left, ref, "no randomness: not in this test")
	e.cfg = sound
	p.drive(19 * time.Second)
	if p.left.main() != old {
		p.fatalf("rekeyed within %v", rekeyPause)
	}
	p.drive(12 * time.Second)
	if s := p.left.main(); s == nil || s == old {
		p.fatalf("not rekeyed after %v", rekeyPause)
	}
	p.wantTunnel()
}

// TestRefusedIKERekeyings has the peer refuse each rekeying of the IKE SA, and of nothing else, for
// each reason that lasts. Over five lifetimes the first refusal of each IKE SA is told at once, a
// new one takes its place by the end of its lifetime, long before the hard one, and no packet is
// lost. Child SAs are rekeyed meanwhile.
func TestRefusedIKERekeyings(t *testing.T) {
	const lives, life = 5, 10 * time.Minute
	always := func(kind wire.NotifyType) func(*testMessage) *wire.Notify {
		return func(*testMessage) *wire.Notify { return &wire.Notify{Kind: kind} }
	}
	for name, c := range map[string]struct {
		answer func(request *testMessage) *wire.Notify
		told   string        // the event at the first refusal
		within time.Duration // of that
		by     time.Duration // when a new IKE SA has taken its place; the hard end is at 1.1 lives
		say    string
	}{
		"NO_PROPOSAL_CHOSEN":    {always(wire.NoProposalChosen), "rekey-refused", 50 * time.Millisecond, life, "rekeying the IKE SA failed: the peer answered NO_PROPOSAL_CHOSEN"},
		"NO_ADDITIONAL_SAS":     {always(wire.NoAdditionalSAs), "rekey-refused", 50 * time.Millisecond, life, "rekeying the IKE SA failed: the peer answered NO_ADDITIONAL_SAS"},
		"groups in alternation": {otherGroup, "rekey-refused", time.Second, life, "rekeying the IKE SA failed: the peer asks for another key exchange once too often"},
		"TEMPORARY_FAILURE":     {always(wire.TemporaryFailure), "rekey-postponed", 50 * time.Millisecond, life + life*7/100, "rekeying the IKE SA failed: the peer answered TEMPORARY_FAILURE to CREATE_CHILD_SA: it is busy with these SAs, and may accept it later, each time"},
		"silence":               {always(0), "rekey-refused", 10 * time.Second, life, "the peer does not answer CREATE_CHILD_SA"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				for _, s := range p.sides() {
					s.peers[0].Proposals = []wire.Proposal{testIKEProposal, withGroup(testIKEProposal, wire.GroupECP256)}
					s.peers[0].Children[0].Lifetime = life / 4
				}
				p.left.peers[0].Lifetime = life
				p.right.peers[0].Children[0].Lifetime = time.Hour
			})
			p.up2()
			var old *ikeSA
			var refused time.Time // the first rekeying of old
			children := 0
			refuseWhere(p, func(request *testMessage) (*wire.Notify, bool) {
				if sa := firstOf[*wire.SA](request.payloads); sa == nil || sa.Proposals[0].Protocol != wire.ProtoIKE {
					children++
					return nil, false
				}
				if refused.IsZero() && request.hdr.InitiatorSPI == old.spi.I {
					refused = p.now
				}
				return c.answer(request), true
			})
			p.lost = nil
			for n := range lives {
				old, refused = p.left.main(), time.Time{}
				end := old.life.established.Add(c.by)
				p.flowUntil(end, func() bool { return p.left.said(c.told) > n })
				if told := p.now.Sub(refused); refused.IsZero() || told > c.within+everyFlow {
					p.fatalf("life %d: told %v after the first refusal: %s", n, told, p.left.saidAll())
				}
				p.flowUntil(end, func() bool { return p.left.main() != old })
				if p.left.main() == old || !strings.Contains(p.wantNotice(p.left, "rekey-refused").Text, c.say) {
					p.fatalf("life %d: the IKE SA is not replaced within %v: %s", n, c.by, p.left.saidAll())
				}
			}
			p.flowUntil(p.now.Add(5*time.Second), func() bool { return false })
			p.drive(time.Second)
			p.wantNoLoss()
			p.wantSound()
			if n := p.left.requests(wire.IKESAInit); n != 1+lives || p.left.said("child-down") > 0 || p.right.said("child-down") > 0 {
				t.Errorf("%d IKE SAs, %d times without a Child SA", n, p.left.said("child-down"))
			}
			if children < 2*lives {
				t.Errorf("%d Child SAs were asked for meanwhile", children)
			}
		})
	}
}

// everyFlow is the time between two packets of flowUntil.
const everyFlow = 100 * time.Millisecond

// flowUntil sends both ways until a time, or until the condition is met.
func (p *testPair) flowUntil(end time.Time, met func() bool) {
	for p.now.Before(end) && !met() {
		p.left.traffic("lan")
		p.right.traffic("lan")
		p.drive(everyFlow)
	}
}

// TestNewChildRefusedForNow has the peer answer TEMPORARY_FAILURE to each request for one of two
// Child SAs: the other one stays up on IKE SAs that replace one another, and these are few.
func TestNewChildRefusedForNow(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		twoChildren(p)
		p.left.peers[0].Children[1].Start = StartBoot
	})
	refuseWhere(p, func(request *testMessage) (*wire.Notify, bool) {
		ts, ok := wire.FindTS(request.payloads, true)
		return &wire.Notify{Kind: wire.TemporaryFailure}, ok && len(selectorsOf(ts)) > 0 && selectorsOf(ts)[0] == p.left.peers[0].Children[1].Remote[0]
	})
	p.left.connect("lan")
	p.drive(2 * time.Second)
	p.lost = nil
	p.flowUntil(p.now.Add(20*time.Minute), func() bool { return false })
	p.drive(time.Second)
	p.wantNoLoss()
	if n := p.left.requests(wire.IKESAInit); n < 4 || n > 9 {
		t.Errorf("%d IKE SAs in 20 minutes", n)
	}
	for _, s := range p.sides() {
		if s.said("child-down") > 0 {
			t.Errorf("%s had no Child SA: %s", s.name, s.saidAll())
		}
	}
}

// TestIKEAndChildRekeyingsCross: a rekeying of the IKE SA and one of a Child SA cross, and each
// side refuses the other's (RFC 7296, Section 2.25). Both try again, and do not cross a second
// time.
func TestIKEAndChildRekeyingsCross(t *testing.T) {
	for seed := uint64(1); seed <= 40; seed++ {
		p := newPair(t, seed, func(p *testPair) { p.link = steadyLink(100 * time.Millisecond) })
		p.up2()
		refused, link := map[*testSide]int{}, p.link
		p.link = func(pk *testPacket) []time.Duration {
			if n := firstOf[*wire.Notify](pk.msg.payloads); n != nil && n.Kind == wire.TemporaryFailure {
				refused[pk.from]++
			}
			return link(pk)
		}
		ref := p.left.rekey("")
		refOfChild := p.right.rekey("lan")
		p.drive(8 * time.Second)
		p.wantDone(p.left, ref, "")
		p.wantDone(p.right, refOfChild, "")
		if refused[p.left] != 1 || refused[p.right] != 1 {
			p.fatalf("seed %d: left refuses %d times, right %d times, want once each", seed, refused[p.left], refused[p.right])
		}
		p.drive(5 * time.Second)
		p.wantTunnel()
	}
}

// TestRefusedForNowWithoutRemote: the peer answers the first three rekeyings by TEMPORARY_FAILURE,
// and the lifetime ends soon. A side that cannot make another IKE SA keeps the one that it has, and
// tries again: no packet is lost.
func TestRefusedForNowWithoutRemote(t *testing.T) {
	for what, edit := range map[string]func(*Peer){
		"the IKE SA": func(peer *Peer) { peer.Lifetime = 3 * time.Minute },
		"a Child SA": func(peer *Peer) { peer.Children[0].Lifetime = 2 * time.Minute },
	} {
		t.Run(what, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].Remote = nil
				edit(&p.left.peers[0])
			})
			ref := p.right.connect("")
			p.drive(2 * time.Second)
			p.wantDone(p.right, ref, "")
			asked := 0
			refuseWhere(p, func(*testMessage) (*wire.Notify, bool) {
				asked++
				return &wire.Notify{Kind: wire.TemporaryFailure}, asked <= 3
			})
			p.lost = nil
			p.flowUntil(p.now.Add(5*time.Minute), func() bool { return asked > 3 })
			p.flowUntil(p.now.Add(10*time.Second), func() bool { return false })
			p.drive(time.Second)
			p.wantNoLoss()
			p.wantTunnel()
			if n := p.right.requests(wire.IKESAInit); asked != 4 || n != 1 || p.left.said("child-down") > 0 {
				t.Errorf("left asks %d times, %d IKE SAs are made: %s", asked, n, p.left.saidAll())
			}
		})
	}
}

// TestRequestBeforeTheKeys has right use the successor that left asked for while left still
// computes its keys. INVALID_IKE_SPI would say that left does not have it: left is silent, and
// answers the repetition.
func TestRequestBeforeTheKeys(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == p.right && pk.msg.hdr.Exchange == wire.CreateChildSA && pk.msg.hdr.Response {
			p.compute = func() time.Duration { return 500 * time.Millisecond }
		}
		return link(pk)
	}
	ref := p.left.rekey("")
	for len(p.right.e.sas.bySPI) < 2 {
		p.drive(time.Millisecond)
	}
	child := p.right.rekey("lan")
	p.drive(200 * time.Millisecond)
	if c := p.left.e.Counters(); c["ike_unexpected_exchange"] != 1 || c["ike_unknown_spi"] != 0 {
		p.fatalf("left counts %v", c)
	}
	p.drive(10 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantDone(p.right, child, "")
	p.wantTunnel()
}
