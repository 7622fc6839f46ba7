package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// refusingSPIs refuses a number of SPIs.
type refusingSPIs struct {
	SPIAllocator
	left int
}

func (r *refusingSPIs) AllocSPI(lane uint32) (uint32, error) {
	if r.left > 0 {
		r.left--
		return 0, errTest
	}
	return r.SPIAllocator.AllocSPI(lane)
}

// duplicates returns the IKE SA that is to go and the one that is to stay, where a side has both.
func (s *testSide) duplicates() (loser, winner *ikeSA, ok bool) {
	usable := s.usable()
	if len(usable) != 2 {
		return nil, nil, false
	}
	if compareRekeys(usable[0].keys.nonces, usable[1].keys.nonces) == keepOurs {
		return usable[1], usable[0], true
	}
	return usable[0], usable[1], true
}

// TestBothConnectAtOnce: nothing goes back to the pairs of the IKE SA that is to go, on either
// side, and no child is down when it went, even if the other one refuses it at first.
func TestBothConnectAtOnce(t *testing.T) {
	retried := false
	for seed := uint64(1); seed <= 12; seed++ {
		p := newPair(t, seed, func(p *testPair) {
			twoChildren(p)
			p.left.peers[0].Children[0].Start, p.right.peers[0].Children[0].Start = StartTraffic, StartTraffic
		})
		spis := map[*testSide]*refusingSPIs{}
		for _, s := range []*testSide{p.left, p.right} {
			spis[s] = &refusingSPIs{SPIAllocator: s.plane}
			s.e.cfg.SPIs = spis[s]
		}
		seen, refused := false, false
		var going, staying *ikeSA // of the side that made the one that goes
		p.after = func(s *testSide) {
			if going != nil && going.state == saClosing && s.e == going.e && staying.children.Lacks(&going.children.Bundle) {
				p.violated("%s: an IKE SA goes before the other has all of its children", s.name)
			}
			loser, winner, ok := s.duplicates()
			if !ok {
				return
			}
			seen = true
			for _, q := range loser.children.Pairs() {
				if q.State() == child.Live && winner.children.Of(q.Policy()) != nil {
					p.violated("%s: a pair of the IKE SA that is to go is live beside that of the other", s.name)
				}
			}
			if loser.succ.fate == fateSettled && winner.children.Lacks(&loser.children.Bundle) && !refused { // its maker asks for what the other lacks
				refused, going, staying = true, loser, winner
				spis[s.other()].left = 1
			}
		}
		p.left.connect("lan")
		p.right.connect([]string{"lan", "two"}[seed%2])
		p.drive(time.Minute)
		if !seen {
			p.fatalf("the sides did not connect at once")
		}
		retried = retried || refused && spis[p.left].left+spis[p.right].left == 0
		p.wantChild(p.left, "lan")
		if seed%2 == 1 {
			p.wantTunnel()
		}
		p.wantAgreement()
	}
	if !retried {
		t.Error("the child was never refused")
	}
}

// settling drives until a side has decided that an IKE SA of its own is to go, and returns it.
func (p *testPair) settling() (s *testSide, loser *ikeSA) {
	p.t.Helper()
	for range 1000 {
		for _, s := range p.sides() {
			if loser, _, ok := s.duplicates(); ok && loser.succ.fate == fateSettled {
				return s, loser
			}
		}
		p.drive(time.Millisecond)
	}
	p.fatalf("the sides did not connect at once")
	return nil, nil
}

// ask has a side ask for a child on an IKE SA.
func (s *testSide) ask(o *ikeSA, child string) {
	pol := s.e.policies.byID[s.policy(child)]
	s.act(func() {
		pol.Want()
		pol.Begin()
		o.enqueue(newChildExchange(pol, nil))
	})
}

// act has something happen within a side's engine.
func (s *testSide) act(what func()) {
	var fx Effects
	s.e.handling = handling{now: s.p.now, fx: &fx}
	what()
	for _, f := range fx.List {
		s.do(f)
	}
	s.handle(Wake{})
}

// usable returns a side's IKE SAs that neither are replaced nor end.
func (s *testSide) usable() (list []*ikeSA) {
	for _, o := range s.e.peers.order[0].party.sas {
		if o.usable() {
			list = append(list, o)
		}
	}
	return list
}

// wantOneIKESA checks that all children are up, by one IKE SA.
func (p *testPair) wantOneIKESA() {
	p.t.Helper()
	p.wantTunnel()
	for _, s := range p.sides() {
		if n := len(s.e.peers.order[0].party.sas); n != 1 {
			p.fatalf("%s has %d IKE SAs at rest", s.name, n)
		}
	}
}

// TestLateChildOfARedundantIKESA has a child come up on the IKE SA that is to go, after rounds in
// which that was waited for. It moves to the other one as an early one does: nothing was refused.
func TestLateChildOfARedundantIKESA(t *testing.T) {
	for late := testRTT; late < 16*testRTT; late += testRTT / 4 {
		p := newPair(t, 1, twoChildren)
		p.left.connect("lan")
		p.right.connect("lan")
		s, loser := p.settling()
		link := p.link
		p.link = func(pk *testPacket) []time.Duration {
			if pk.from == s && pk.msg != nil && pk.msg.hdr.InitiatorSPI == loser.spi.I && pk.msg.hdr.Exchange == wire.CreateChildSA {
				return []time.Duration{late}
			}
			return link(pk)
		}
		s.ask(loser, "two")
		p.drive(time.Minute)
		p.wantOneIKESA()
	}
}

// TestTemporaryRefusalOfAMove has the peer refuse for a while, by TEMPORARY_FAILURE, what is to
// move to the IKE SA that stays, as one that rekeys it does. The children move when it accepts
// them.
func TestTemporaryRefusalOfAMove(t *testing.T) {
	p := newPair(t, 1, twoChildren)
	p.left.connect("lan")
	p.right.connect("lan")
	s, loser := p.settling()
	s.ask(loser, "two")
	refused := 0
	r := &simRefusal{side: s.other(), how: simRefusalKind{kind: wire.TemporaryFailure, all: true}, sealer: &attack{testPair: p}, answered: map[[2]wire.SPI]refusedRequest{}}
	r.side.refuses = func(pk *testPacket, from ipsec.Path) bool {
		if pk.msg.hdr.InitiatorSPI == loser.spi.I || refused == 2*maxMigrations || !r.refuse(pk, from) {
			return false
		}
		refused++
		return true
	}
	p.drive(2 * time.Minute)
	if refused != 2*maxMigrations {
		p.fatalf("asked %d times", refused)
	}
	p.wantOneIKESA()
}

// TestMoveWithoutSPI has no SPI for what is to move to the IKE SA that stays, for some rounds. The
// peer has refused nothing: the other one goes when all has moved, and not before, whether it is
// redundant or replaced.
func TestMoveWithoutSPI(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		p := newPair(t, 1, twoChildren)
		s := p.left
		if replaced {
			p.wantDone(p.left, p.left.connectFor2s(), "")
			p.left.act(func() { p.left.main().succ.wontLive("a test says so") })
			p.drive(30 * time.Millisecond) // IKE_AUTH is under way
		} else {
			p.left.connect("lan")
			p.right.connect("lan")
			var loser *ikeSA
			s, loser = p.settling()
			s.ask(loser, "two")
		}
		spis := &refusingSPIs{SPIAllocator: s.plane, left: 2 * maxMigrations}
		s.e.cfg.SPIs = spis
		p.drive(2 * time.Minute)
		if spis.left > 0 || p.left.said("child-down")+p.right.said("child-down") > 0 {
			p.fatalf("%d SPIs were not asked for; left says %s", spis.left, p.left.saidAll())
		}
		p.wantOneIKESA()
	}
}

// TestRefusedMove has the peer refuse for good what is to move to the IKE SA that stays. The other
// one stays as well, and its child is wanted as before, so that it comes back after a loss.
func TestRefusedMove(t *testing.T) {
	p := newPair(t, 1, twoChildren)
	p.left.connect("lan")
	p.right.connect("lan")
	s, loser := p.settling()
	s.ask(loser, "two")
	r := &simRefusal{side: s.other(), how: simRefusalKind{kind: wire.NoProposalChosen, all: true}, sealer: &attack{testPair: p}, answered: map[[2]wire.SPI]refusedRequest{}}
	r.side.refuses = func(pk *testPacket, from ipsec.Path) bool {
		return pk.msg.hdr.InitiatorSPI != loser.spi.I && r.refuse(pk, from)
	}
	p.drive(5 * time.Minute)
	p.wantTunnel()
	if n := len(s.usable()); n != 2 || loser.succ.fate != fateBeside {
		p.fatalf("%d IKE SAs", n)
	}
	if pol := s.e.policies.byID[s.policy("two")]; !pol.Wanted() {
		p.fatalf("the child is no longer wanted")
	}
}

// TestBothReplaceAtOnce has both sides find at the same time that the peer refuses to rekey, for
// PFS, and make a new IKE SA each. One of them may carry nothing, because the Child SA is up on the
// other, and only IKE_AUTH makes it: no packet is lost whichever is decided to go, and the one that
// stays is replaced once more at most, by either side.
func TestBothReplaceAtOnce(t *testing.T) {
	const most = 2 // IKE SAs that a side begins in 3.5 minutes
	empty := 0
	for seed := uint64(1); seed <= 40; seed++ {
		p := newPair(t, seed, func(p *testPair) {
			shortLives(p)
			left := &p.left.peers[0]
			left.Children[0].Lifetime = time.Hour
			left.Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
			if seed%2 == 0 { // the peer lacks it
				left.Children = append(left.Children, testChild(p.left, "extra", 7))
				left.Children[1].Start = StartTraffic
			}
		})
		p.wantDone(p.left, driven(p, p.left.connect("lan")), "")
		if seed%2 == 0 {
			p.left.connect("extra")
		}
		first := []*testSide{p.left, p.right}[seed/2%2]
		for _, s := range []*testSide{first, first.other()} {
			s.handle(Rekey{Peer: s.other().name, Child: "lan", Ref: s.ref()})
			p.drive(time.Duration(seed) * time.Millisecond)
		}
		p.wantSteadyTraffic(3 * time.Minute)
		p.drive(30 * time.Second)
		for _, s := range []*testSide{p.left, p.right} {
			if n := len(s.e.peers.order[0].party.sas); n > 2 {
				p.fatalf("%s has %d IKE SAs at rest", s.name, n)
			}
			if n := s.requests(wire.IKESAInit); n > most {
				p.fatalf("%s began %d IKE SAs, want %d at most", s.name, n, most)
			}
		}
		if strings.Contains(p.left.saidAll()+p.right.saidAll(), "refuses the Child SAs of the other IKE SA") {
			empty++
		}
	}
	if empty == 0 {
		t.Error("the one that was to stay never was without a Child SA")
	}
}

// TestOneKnowsThatItCannotBeKept has left find that an IKE SA of right's cannot be kept, and make
// another one, while right finds nothing wrong with it. Whichever one the rule of nonces is for,
// the old one goes, and no packet is lost.
func TestOneKnowsThatItCannotBeKept(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		p := newPair(t, seed, func(p *testPair) { p.right.peers[0].Children[0].Start = StartBoot })
		p.drive(time.Minute)
		old := p.left.main()
		var fx Effects
		p.left.e.handling = handling{now: p.now, fx: &fx}
		old.succ.wontLive("a test says so")
		p.left.handle(Wake{})
		p.drive(30 * time.Millisecond) // IKE_AUTH is under way
		for _, s := range old.party.sas {
			s.succ.replaces = nil // as after the end of another IKE SA meanwhile
		}
		p.wantSteadyTraffic(rekeyedLife + time.Minute)
		for _, s := range p.sides() {
			if n := len(s.e.peers.order[0].party.sas); n != 1 {
				p.fatalf("%s has %d IKE SAs at rest", s.name, n)
			}
		}
	}
}

// TestOneKnowsThatTheWinnerCannotBeKept has both sides connect at once, and one of them find at the
// same time that the IKE SA that is to stay cannot be kept. The peer deletes the other one, so this
// one carries the tunnel until a new one has taken its place.
func TestOneKnowsThatTheWinnerCannotBeKept(t *testing.T) {
	for seed := uint64(1); seed <= 16; seed++ {
		p := newPair(t, seed, nil)
		p.left.connect("lan")
		p.right.connect("lan")
		knower := p.sides()[seed%2]
		for {
			_, winner, ok := knower.duplicates()
			if _, _, both := knower.other().duplicates(); !ok || !both {
				p.drive(time.Millisecond)
				continue
			}
			knower.e.handling = handling{now: p.now, fx: &Effects{}}
			winner.succ.wontLive("a test says so")
			knower.handle(Wake{})
			break
		}
		p.wantSteadyTraffic(rekeyedLife + time.Minute)
		for _, s := range p.sides() {
			if list := s.e.peers.order[0].party.sas; len(list) != 1 || list[0].succ.outlook != outlookGood {
				p.fatalf("%s has %d IKE SAs at rest", s.name, len(list))
			}
		}
	}
}

// TestThreeIKESAs has both sides make an IKE SA at about the same time beside one that stood. Its
// Child SAs go to the one that stays of the three: on the other, which goes as well, they would be
// redundant at once, and would seem to be refused.
func TestThreeIKESAs(t *testing.T) {
	three := 0
	for i := 12; i < 36; i++ {
		p := upWithOwn(t, nil)
		p.script(false)
		first := p.sides()[i%2]
		first.another()
		p.drive(time.Duration(i/2) * time.Millisecond)
		first.other().another()
		before := p.left.requests(wire.CreateChildSA) + p.right.requests(wire.CreateChildSA)
		p.after = func(s *testSide) {
			usable := 0
			for _, o := range s.e.peers.order[0].party.sas {
				if usable += btoi(o.usable()); o.succ.fate == fateBeside {
					p.violated("%s: an IKE SA stays beside", s.name)
				}
			}
			three += btoi(usable == 3)
		}
		p.wantSteadyTraffic(rekeyedLife + time.Minute)
		if n := p.left.requests(wire.CreateChildSA) + p.right.requests(wire.CreateChildSA) - before; n > 2 {
			p.fatalf("%d Child SAs were asked for", n)
		}
		for _, s := range p.sides() {
			if n := len(s.e.peers.order[0].party.sas); n != 1 {
				p.fatalf("%s has %d IKE SAs at rest", s.name, n)
			}
		}
		p.wantSound()
	}
	if three == 0 {
		t.Error("there never were three")
	}
}

// TestRekeyedBesideTheOneInItsPlace has both the old IKE SA and the one that was made in its place
// rekeyed before the old one is deleted. The successor of the new one still replaces that of the
// old one, which goes at once: otherwise both sides would wait for each other.
func TestRekeyedBesideTheOneInItsPlace(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		p := newPair(t, seed, func(p *testPair) { p.right.peers[0].Remote = nil })
		p.up()
		old := p.left.main()
		p.left.act(func() { old.succ.wontLive("a test says so") })
		for len(p.left.usable()) < 2 || len(p.right.usable()) < 2 {
			p.drive(time.Millisecond)
		}
		p.left.act(old.life.due)
		p.right.act(p.right.usable()[1].life.due)
		p.wantSteadyTraffic(5 * time.Second)
		for _, s := range p.sides() {
			if n := len(s.usable()); n != 1 {
				p.fatalf("%s has %d IKE SAs", s.name, n)
			}
		}
		p.wantSteadyTraffic(3 * time.Minute)
	}
}

// TestDyingBesideAGoodOne has an IKE SA of left's that cannot be kept, since right does not answer
// CREATE_CHILD_SA on it, beside a good one that right has just made. One more takes its place,
// whichever of the two good ones stays in the end, and not one every five seconds that makes way
// for the other at once.
func TestDyingBesideAGoodOne(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		p := newPair(t, seed, nil)
		p.up()
		old, link := p.left.main(), p.link
		p.link = func(pk *testPacket) []time.Duration {
			if pk.from == p.left && pk.msg != nil && pk.msg.hdr.Exchange == wire.CreateChildSA && pk.msg.hdr.InitiatorSPI == old.spi.I {
				return nil
			}
			return link(pk)
		}
		p.left.rekey("lan")
		p.drive(time.Second)
		p.right.another()
		p.drive(5 * time.Second)
		begun := p.left.requests(wire.IKESAInit)
		if len(p.left.usable()) != 2 || p.left.said("rekey-refused") > 0 {
			p.fatalf("left has %d IKE SAs: %s", len(p.left.usable()), p.left.saidAll())
		}
		p.wantSteadyTraffic(2*rekeyedLife + time.Minute)
		p.wantOneIKESA()
		if n := p.left.requests(wire.IKESAInit) - begun; n != 1 || p.left.said("rekey-refused") != 1 {
			p.fatalf("seed %d: left began %d IKE SAs: %s", seed, n, p.left.saidAll())
		}
	}
}

// TestReplacedInTurn has two IKE SAs, one of each side, with a child each, and each of them
// replaced by itself, as at a reauthentication, less than rekeyedLife after the other one. They are
// settled nevertheless.
func TestReplacedInTurn(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		p := newPair(t, seed, twoChildren)
		p.up()
		p.drive(rekeyedLife)
		p.right.another()
		again := func(s *testSide) {
			p.wantSteadyTraffic(rekeyedLife / 2)
			for _, o := range s.usable() {
				if o.initiator {
					s.act(func() { o.succ.wontLive("a test says so") })
				}
			}
		}
		again(p.left)
		again(p.right)
		again(p.left)
		p.wantSteadyTraffic(rekeyedLife / 2)
		for _, s := range p.sides() {
			if n := len(s.usable()); n != 1 {
				p.fatalf("%s has %d IKE SAs", s.name, n)
			}
		}
		p.wantSteadyTraffic(2 * rekeyedLife)
		p.wantOneIKESA()
	}
}

// another has a side make another IKE SA, in place of none.
func (s *testSide) another() {
	old := s.main()
	old.succ.outlook = outlookDying
	old.e.touch(old.party)
	s.handle(Wake{})
	old.succ.outlook = outlookGood
	s.p.events.add(s.p.now.Add(30*time.Millisecond), func() { // IKE_AUTH is under way
		for _, o := range old.party.sas {
			o.succ.replaces = nil
		}
	})
}

// TestIgnoredIKESACarriesNoWorker: a peer that was restarted, without a sign of it, does not answer
// a rekeying. When another IKE SA is up in place of the old one, workers with pairs of their own no
// longer send on that, which is kept until the repetitions end.
func TestIgnoredIKESACarriesNoWorker(t *testing.T) {
	p := upWithOwn(t, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.script(false)
	p.right.kill()
	p.right.start()
	p.link = func(pk *testPacket) []time.Duration { // the restarted peer says nothing
		if pk.msg != nil && !pk.msg.protected && pk.msg.hdr.Exchange != wire.IKESAInit {
			return nil
		}
		return []time.Duration{testRTT / 2}
	}
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	if old := p.left.e.peers.order[0].party.sas[0]; old.state != saClosing {
		p.fatalf("the old IKE SA is %v", old.state)
	}
	for worker := 1; worker <= 2; worker++ {
		if psa := p.left.plane.sender(p.left.policy("lan"), worker); psa == nil || p.right.plane.inbound[psa.sa.SPIOut] == nil {
			p.fatalf("worker %d sends on %+v", worker, psa)
		}
	}
	p.drive(2 * time.Minute)
	p.wantSound()
}

// TestWinnerIsReplacedDuringASettlement: an IKE SA is to make way for a second one, which waits for
// an answer when the peer is restarted, and which cannot be kept either. A hint about the second is
// one about the first as well, whose workers have pairs of their own: when a third is there, they
// do not wait for the end of the second.
func TestWinnerIsReplacedDuringASettlement(t *testing.T) {
	p := upWithOwn(t, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.script(false)
	drop := func(lost func(pk *testPacket) bool) {
		p.link = func(pk *testPacket) []time.Duration {
			if pk.msg != nil && lost(pk) {
				return nil
			}
			return []time.Duration{testRTT / 2}
		}
	}
	first := p.left.main()
	drop(func(pk *testPacket) bool { return pk.msg.hdr.Exchange == wire.Informational })
	p.left.act(func() { first.succ.wontLive("a test says so") })
	p.drive(replacePause + time.Second)
	second := p.left.usable()[1]
	p.right.kill()
	p.right.start()
	drop(func(pk *testPacket) bool { return !pk.msg.protected && pk.msg.hdr.Exchange != wire.IKESAInit })
	p.left.act(func() {
		second.succ.wontLive("a test says so")
		second.live.hint(lostCheck)
	})
	p.drive(time.Second)
	if first.state.ended() || second.state != saClosing {
		p.fatalf("the first is %v, the second %v", first.state, second.state)
	}
	for worker := 1; worker <= 2; worker++ {
		if psa := p.left.plane.sender(p.left.policy("lan"), worker); psa == nil || p.right.plane.inbound[psa.sa.SPIOut] == nil {
			p.fatalf("worker %d sends on %+v", worker, psa)
		}
	}
	p.drive(2 * time.Minute)
	p.wantSound()
}

// An IKE SA of the peer's was begun when its first message came, whatever time passed until
// IKE_AUTH: by that the sides agree about which of two was begun when the other one stood.
func TestBegunByTheFirstMessage(t *testing.T) {
	p := newPair(t, 1, nil)
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKEAuth {
			return []time.Duration{100 * time.Millisecond}
		}
		return link(pk)
	}
	p.up()
	for _, s := range p.sides() {
		l := s.main().life
		if took := l.since.Sub(l.line.begun); !l.line.begun.Equal(l.born) || took < 100*time.Millisecond {
			p.fatalf("%s: established %v after it was begun", s.name, took)
		}
	}
}
