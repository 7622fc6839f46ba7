package ike

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/liveness"
	"culvert/ike/wire"
)

// Hints where another IKE SA is tried already, or its attempt is what the peer has lost.

// TestResponderRestartedBeforeAuth: a responder that was restarted between IKE_SA_INIT and IKE_AUTH
// does not know the IKE SA. Its word costs the attempt the rest of its time, but no back-off.
func TestResponderRestartedBeforeAuth(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.script(true)
	ref := p.left.connect("lan")
	p.deliver(p.wantSend("left calls", p.left, wire.IKESAInit, false, "..."))
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	p.drive(10 * time.Millisecond)
	p.right.kill()
	p.right.start()
	p.script(false)
	for _, m := range p.left.out {
		p.arrive(m.pk) // IKE_AUTH
	}
	p.left.out = nil
	p.drive(hintedCheck - 100*time.Millisecond)
	if n := p.left.requests(wire.IKESAInit); n != 1 {
		p.fatalf("%d attempts before the end of the check", n)
	}
	p.drive(700 * time.Millisecond)
	p.wantDone(p.left, ref, "")
	p.drive(time.Second)
	p.wantTunnel()
	p.wantNotice(p.left, "connect-failed")
}

// TestEndedBeforeItWasUsed has the response to IKE_AUTH lost for so long that the responder ends
// the IKE SA. A later copy of the request does not bring up what has ended: the initiator begins
// again at once.
func TestEndedBeforeItWasUsed(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == p.right && pk.msg.hdr.Exchange == wire.IKEAuth {
			return nil
		}
		return link(pk)
	}
	p.left.connect("lan")
	p.drive(testRTT * 3)
	p.right.act(func() { p.right.main().end(child.EndDead, "a test says so") })
	p.link = link
	p.drive(hintedCheck + 2*time.Second) // the next copy comes after a second
	p.wantTunnel()
}

// TestForgedLossOfAnAttempt: whoever sees IKE_AUTH can forge that it is unknown. The first such
// message ends an attempt that the peer does not answer in time, further ones of the next ten
// seconds no other: a peer that takes long to authenticate us has that time.
func TestForgedLossOfAnAttempt(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	const slow = 4 * time.Second
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if m := pk.msg; m != nil && m.hdr.Exchange == wire.IKEAuth && m.hdr.Response && m.protected {
			return []time.Duration{slow}
		}
		return link(pk)
	}
	a := newAttack(p)
	ref := p.left.connect("lan")
	for range 80 { // 8 s
		p.drive(100 * time.Millisecond)
		for _, s := range p.left.e.peers.order[0].party.sas {
			if s.state != saAuthenticating {
				continue
			}
			forged := wire.Message{
				Header:   wire.Header{InitiatorSPI: s.spi.I, ResponderSPI: s.spi.R, Exchange: wire.IKEAuth, Response: true, MessageID: 1},
				Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidIKESPI}},
			}
			a.inject(p.left, p.right.home(), forged.AppendTo(nil))
		}
	}
	p.wantDone(p.left, ref, "")
	if n := p.left.requests(wire.IKESAInit); n != 2 {
		p.fatalf("%d attempts, want 2", n)
	}
}

// TestHintHastensAnAttempt: an attempt in place of an IKE SA that does not answer has long pauses
// when the peer is back. A hint has it ask at once, be it for IKE_SA_INIT or only after a back-off,
// and the next hint only after liveness.HintInterval.
func TestHintHastensAnAttempt(t *testing.T) {
	for name, prepare := range map[string]func(p *testPair, s *ikeSA){
		"in IKE_SA_INIT": func(p *testPair, _ *ikeSA) {
			p.left.rekey("lan")
			p.drive(33 * time.Second) // the next IKE_SA_INIT would come seconds later
		},
		"between attempts": func(p *testPair, s *ikeSA) {
			s.succ.outlook, s.party.try.At = outlookDying, p.now.Add(time.Hour)
			p.drive(time.Second)
		},
	} {
		p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
		p.up()
		link, s := p.link, p.left.main()
		p.link = func(*testPacket) []time.Duration { return nil }
		hint := p.right.lostSPI(s.children.Pairs()[0].SA.SPIOut)
		p.right.kill()
		if prepare(p, s); !s.usable() || s.succ.outlook != outlookDying {
			p.fatalf("%s: the IKE SA does not wait for another", name)
		}
		p.link = link
		p.right.start()
		p.left.handle(hint)
		p.left.handle(hint)
		if n := p.left.e.Counters()["ike_liveness_hints"]; n != 1 {
			p.fatalf("%s: %d hints", name, n)
		}
		p.wantReplaced(500 * time.Millisecond)
	}
}

// TestHintHastensAnAttemptOfBoth: both sides connected at once, and the attempt that still waits
// for IKE_AUTH has long pauses when the peer has restarted. When the IKE SA does not answer the
// check after a hint, that attempt asks at once and finds that the peer has lost it as well.
func TestHintHastensAnAttemptOfBoth(t *testing.T) {
	p := newPair(t, 1, nil)
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if m := pk.msg; m != nil && pk.from == p.left && m.hdr.Exchange == wire.IKEAuth && !m.hdr.Response {
			return nil
		}
		return link(pk)
	}
	p.left.connect("lan")
	p.right.connect("lan")
	p.drive(15 * time.Second) // the next IKE_AUTH would come seconds later
	s := p.left.main()
	if s == nil || !s.party.trying() || s.succ.outlook != outlookGood {
		p.fatalf("left does not still connect beside an IKE SA of right's")
	}
	hint := p.right.lostSPI(s.children.Pairs()[0].SA.SPIOut)
	p.right.kill()
	p.right.peers[0].Remote = nil
	p.right.start()
	p.link = link
	p.left.handle(hint)
	p.wantReplaced(lostCheck + hintedCheck + 500*time.Millisecond)
}

// TestSilentIKESACarriesNoWorker: when another IKE SA is up in place of one whose peer does not
// answer after a hint, workers with pairs of their own no longer send on the old one.
func TestSilentIKESACarriesNoWorker(t *testing.T) {
	p := upWithOwn(t, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.script(false)
	hint := p.right.lostSPI(p.wantSender(p.left, 2, 2).sa.SPIOut)
	p.right.kill()
	p.right.start()
	p.link = func(pk *testPacket) []time.Duration { // the restarted peer proves nothing
		if pk.msg != nil && !pk.msg.protected && pk.msg.hdr.Exchange != wire.IKESAInit {
			return nil
		}
		return []time.Duration{testRTT / 2}
	}
	p.left.handle(hint)
	p.drive(2 * time.Second)
	for worker := 1; worker <= 2; worker++ {
		if psa := p.left.plane.sender(p.left.policy("lan"), worker); psa == nil || p.right.plane.inbound[psa.sa.SPIOut] == nil {
			p.fatalf("worker %d sends on %+v", worker, psa)
		}
	}
	p.drive(2 * time.Minute)
	p.wantSound()
}

// TestHintDuringAPathProbe: a path probe that is repeated without limit is the check after a hint,
// and takes no longer than any other.
func TestHintDuringAPathProbe(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	s := p.left.main()
	pair, link := s.children.Pairs()[0].SA, p.link
	p.left.handle(ProbePath{ID: pair.ID, Size: 1400})
	p.drive(100 * time.Millisecond)
	p.link = func(*testPacket) []time.Duration { return nil }
	p.left.handle(ProbePath{ID: pair.ID, Size: 1300})
	p.drive(20 * time.Second) // the next repetition would come seconds later
	hint := p.right.lostSPI(pair.SPIOut)
	p.right.kill()
	p.right.start()
	p.link = link
	p.left.handle(hint)
	p.wantReplaced(time.Second)
}

// TestHintWhenNothingIsCarried has the only Child SA end while the peer is away. The IKE SA, whose
// Delete is not answered, carries nothing any more, and the policy waits for it. The sign that the
// peer has restarted leads to another IKE SA for that policy, instead of 75 s of repetitions.
func TestHintWhenNothingIsCarried(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.up()
	p.right.kill()
	for id := range p.left.plane.sas {
		p.left.handle(Expire{ID: id, Hard: true})
	}
	p.drive(10 * time.Second) // the repetitions have long pauses by now
	p.right.start()
	p.left.handle(UnknownSPI{Path: p.left.main().net.Path, SPI: 0x1234, Size: 100})
	p.drive(2 * time.Second)
	p.lost = nil
	p.left.traffic("lan")
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
	p.drive(2 * time.Minute) // the old IKE SA ends
	p.wantTunnel()
}

// expiring returns a tunnel whose peer is away while the authentication expires. The Delete waits
// behind a request, so that the Child SA still carries packets.
func expiring(t *testing.T) (*testPair, *ikeSA) {
	p := newPair(t, 1, func(p *testPair) {
		limitAuth(40*time.Second, 0, time.Hour)(p)
		p.right.peers[0].Remote = nil
	})
	p.up()
	s := p.left.main()
	p.right.kill()
	p.drive(30 * time.Second)
	p.left.rekey("lan")
	p.drive(15 * time.Second) // the next IKE_SA_INIT would come seconds later
	if s.state != saClosing || !p.left.live(p.left.plane.sender(p.left.policy("lan"), 1)) {
		p.fatalf("the IKE SA is %v", s.state)
	}
	return p, s
}

// TestHintAboutAnExpiredIKESA: a sign that the peer is back, also one that names the Child SA of an
// IKE SA that has expired, has the attempt to authenticate again ask at once.
func TestHintAboutAnExpiredIKESA(t *testing.T) {
	for name, hint := range map[string]func(p *testPair, s *ikeSA) Input{
		"INVALID_SPI": func(p *testPair, s *ikeSA) Input {
			m := wire.Message{
				Header:   wire.Header{InitiatorSPI: 7, Exchange: wire.Informational, Initiator: true},
				Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidSPI, Data: binary.BigEndian.AppendUint32(nil, s.children.Pairs()[0].SA.SPIOut)}},
			}
			return Datagram{Path: s.net.Path, Data: m.AppendTo(nil)}
		},
		"a Child SA": func(_ *testPair, s *ikeSA) Input { return Hint{ID: s.children.Pairs()[0].SA.ID} },
		"an address": func(_ *testPair, s *ikeSA) Input { return UnknownSPI{Path: s.net.Path, SPI: 0x1234, Size: 100} },
	} {
		p, s := expiring(t)
		p.right.start()
		in := hint(p, s)
		p.left.handle(in)
		p.left.handle(in)
		if n := p.left.e.Counters()["ike_liveness_hints"]; n != 1 {
			p.fatalf("%s: %d hints", name, n)
		}
		if _, esp := in.(UnknownSPI); esp && p.left.e.Counters()["ike_invalid_spi_sent"] == 0 {
			p.fatalf("the sender of ESP is not told that its SPI is unknown")
		}
		p.wantReplaced(500 * time.Millisecond)
		if said := p.left.saidAll(); strings.Contains(said, "connect-failed") {
			p.fatalf("%s: an attempt failed: %s", name, said)
		}
	}
}

// TestHintEndsAClosedIKESA: an IKE SA that has expired or was replaced ends if the peer does not
// answer for a short while after a hint, so that what it carries is connected. One that people have
// closed is deleted for longer, as the peer should hear of that.
func TestHintEndsAClosedIKESA(t *testing.T) {
	for cause, ends := range map[child.Cause]bool{child.EndExpired: true, child.EndReplaced: true, child.EndLocal: false} {
		p, s := expiring(t)
		if s.life.closed = cause; cause == child.EndLocal {
			s.oneServed().Stop()
		}
		p.left.handle(Hint{ID: s.children.Pairs()[0].SA.ID})
		p.drive(hintedCheck + time.Second)
		if s.state.ended() != ends {
			p.fatalf("the IKE SA is %v; cause: %v", s.state, cause)
		}
	}
}

// TestDownWhileExpired: what is taken down while the IKE SA that carries it has expired does not
// come up by the attempt to authenticate again.
func TestDownWhileExpired(t *testing.T) {
	p, _ := expiring(t)
	p.left.disconnect("lan")
	p.right.start()
	p.drive(2 * time.Minute)
	if len(p.left.plane.sas) > 0 || p.right.main() != nil {
		p.fatalf("it is up again")
	}
}

// besideAnother returns a tunnel where right has made an IKE SA in place of another one, which it
// has not deleted yet when it restarts, and a hint that it has lost the new one.
func besideAnother(t *testing.T) (p *testPair, old *ikeSA, hint Datagram) {
	p = newPair(t, 1, nil)
	p.up()
	old = p.left.main()
	dying := p.right.main()
	dying.succ.outlook = outlookDying
	dying.e.touch(dying.party)
	p.right.handle(Wake{})
	for p.left.main() == old {
		p.drive(time.Millisecond)
	}
	hint = p.right.lostSPI(p.left.main().children.Pairs()[0].SA.SPIOut)
	p.right.kill()
	p.drive(liveness.HintInterval) // since its IKE_SA_INIT, which was a hint
	if !old.usable() || old.succ.fate != fateOpen || old.oneServed() != nil {
		p.fatalf("the old IKE SA is %v, its fate is %v", old.state, old.succ.fate)
	}
	p.right.peers[0].Remote = nil
	p.right.start()
	return p, old, hint
}

// TestSilentBesideADyingIKESA: that an IKE SA cannot be kept which nothing needs any more does not
// keep another one from being made in place of the IKE SA that does not answer.
func TestSilentBesideADyingIKESA(t *testing.T) {
	p, old, hint := besideAnother(t)
	old.succ.outlook = outlookDying
	p.left.handle(hint)
	p.wantReplaced(lostCheck + 500*time.Millisecond)
}

// TestSilentBesideALostIKESA: the Child SA of an IKE SA that does not answer is to be made on an
// older one, which the peer has lost as well. That one is in doubt, so that a third one is made
// soon, also if the peer says nothing of it.
func TestSilentBesideALostIKESA(t *testing.T) {
	for _, mute := range []bool{false, true} {
		p, _, hint := besideAnother(t)
		link, within := p.link, 2*lostCheck+500*time.Millisecond
		if mute {
			within = lostCheck + hintedCheck + 500*time.Millisecond
			p.link = func(pk *testPacket) []time.Duration {
				if m := pk.msg; m != nil && pk.from == p.right && m.hdr.Exchange != wire.IKESAInit && !m.protected {
					return nil
				}
				return link(pk)
			}
		}
		p.left.handle(hint)
		p.wantReplaced(within)
	}
}

// TestHintAboutAnUndecidedSuccessor: both sides rekey the IKE SA, and one has only the other's
// successor when that is restarted. A hint about the successor, which has no Child SAs yet, is one
// about the IKE SA that has them.
func TestHintAboutAnUndecidedSuccessor(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	link, main := p.link, p.left.main()
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && pk.from == p.left && !pk.msg.hdr.Response {
			return nil
		}
		return link(pk)
	}
	p.left.rekey("")
	p.right.rekey("")
	for main.succ.theirs == nil {
		p.drive(time.Millisecond)
	}
	p.right.kill()
	p.right.start()
	p.link = link
	p.left.act(func() { main.succ.theirs.live.hint(lostCheck) })
	p.wantReplaced(lostCheck + 500*time.Millisecond)
}

// TestBeginsAgainInPlace: an attempt that its responder has lost was to take the place of another
// IKE SA. The next one does not wait for the pause between replacements.
func TestBeginsAgainInPlace(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	old := p.left.main()
	var attempt *ikeSA
	p.left.act(func() {
		old.succ.outlook = outlookDying
		old.e.touch(old.party)
	})
	for attempt == nil {
		p.drive(time.Millisecond)
		if i := slices.IndexFunc(old.party.sas, func(s *ikeSA) bool { return s.state == saConnecting }); i >= 0 {
			attempt = old.party.sas[i]
		}
	}
	p.left.act(func() { attempt.beginAgain("the responder has lost it") })
	p.drive(time.Second)
	if s := p.left.main(); s == nil || s == old || s == attempt {
		p.fatalf("another attempt has not taken the place of the IKE SA after a second")
	}
	p.drive(time.Minute)
	p.wantTunnel()
	p.wantNoLoss()
}

// TestHintAboutAClosedIKESA: the answer to the Delete of an IKE SA that was replaced says that the
// peer does not know it. It may have restarted, so the one that took its place is checked.
func TestHintAboutAClosedIKESA(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	old := p.left.main()
	old.succ.outlook = outlookDying
	old.e.touch(old.party)
	p.left.handle(Wake{})
	for old.state != saClosing {
		p.drive(time.Millisecond)
	}
	p.right.kill()
	p.right.peers[0].Remote = nil
	p.right.start()
	p.wantReplaced(replacePause + 500*time.Millisecond) // since the replacement
}

// TestHintWhileWantedAgain: what was taken down while a request was under way, and is brought up
// again, waits for the end of the old IKE SA. A sign that the peer has lost it ends that soon.
func TestHintWhileWantedAgain(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	hint := p.right.lostSPI(p.left.main().children.Pairs()[0].SA.SPIOut)
	p.right.kill()
	p.left.rekey("lan")
	p.left.handle(Disconnect{Peer: "right", Once: true, Ref: p.left.ref()})
	p.drive(15 * time.Second)
	p.right.start()
	p.left.connect("lan")
	p.drive(100 * time.Millisecond)
	p.left.handle(hint)
	p.wantReplaced(2 * time.Second)
}

// TestHintAboutARekeyedIKESA: the answer to the Delete of an IKE SA that was rekeyed says that the
// peer does not know it. It may have restarted, so the successor is checked.
func TestHintAboutARekeyedIKESA(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	old := p.left.main()
	p.left.rekey("")
	for p.left.main() == old {
		p.drive(time.Millisecond)
	}
	p.right.kill()
	p.right.start()
	p.wantReplaced(3*time.Second + hintedCheck)
}

// attemptsAt returns the addresses that a side tries to connect to.
func (p *testPair) attemptsAt(s *testSide) (list []netip.Addr) {
	for _, sa := range s.e.peers.order[0].party.sas {
		if sa.connecting() {
			list = append(list, sa.net.Remote().Addr())
		}
	}
	return list
}

// TestHintFromAnotherAddress: a peer with two addresses was away for so long that the other one is
// tried, where nobody is. The word of the peer that it has lost the IKE SA, or the proof of it, has
// the peer tried where it was. Further words of the next ten seconds do not, as anybody can forge
// them.
func TestHintFromAnotherAddress(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			if tokens {
				withTokens(p)
			}
			p.left.peers[0].Remote, p.right.peers[0].Remote = append(p.left.peers[0].Remote, nobody), nil
		})
		p.up()
		lost := p.left.main()
		hint := p.right.lostSPI(lost.children.Pairs()[0].SA.SPIOut)
		p.right.kill()
		lost.succ.outlook = outlookSilent
		p.left.act(func() { lost.e.touch(lost.party) })
		p.waitFor(time.Minute, func() bool { return slices.Equal(p.attemptsAt(p.left), []netip.Addr{nobody}) })
		if tokens {
			p.right.start()
			p.left.act(lost.token.lostByPeer)
			p.wantReplaced(500 * time.Millisecond)
			continue
		}
		lost.party.try.again = p.now
		p.left.handle(hint)
		if got := p.attemptsAt(p.left); !slices.Equal(got, []netip.Addr{nobody}) {
			p.fatalf("within %v of another word, %v is tried", liveness.HintInterval, got)
		}
		lost.party.try.again = time.Time{}
		p.right.start()
		p.left.handle(hint)
		p.wantReplaced(500 * time.Millisecond)
	}
}

// TestDroppedAttemptEndsItsRound: a peer with two addresses is away for so long that the other one
// is tried, where nobody is. It answers again, from the same address or another of ours, so that
// this attempt is dropped. When it restarts later, what is tried first is where it was.
func TestDroppedAttemptEndsItsRound(t *testing.T) {
	for n := range 4 {
		tokens, moves := n&1 > 0, n&2 > 0
		p := newPair(t, 1, func(p *testPair) {
			if tokens {
				withTokens(p)
			}
			p.left.peers[0].Local = netip.Addr{}
			p.left.peers[0].Remote, p.right.peers[0].Remote = append(p.left.peers[0].Remote, nobody), nil
		})
		p.up()
		steady := p.link
		p.link = func(*testPacket) []time.Duration { return nil }
		p.left.handle(Hint{Remote: p.right.home().Addr()})
		p.waitFor(time.Minute, func() bool { return slices.Equal(p.attemptsAt(p.left), []netip.Addr{nobody}) })
		p.link = steady
		if moves {
			p.left.addrs[0] = netip.MustParseAddr("192.0.2.111")
			p.left.handle(AddressesChanged{})
		}
		p.waitFor(10*time.Second, func() bool { return len(p.attemptsAt(p.left)) == 0 })
		p.drive(time.Minute)
		hint := p.right.lostSPI(p.left.main().children.Pairs()[0].SA.SPIOut)
		p.right.kill()
		p.right.start()
		p.link = func(pk *testPacket) []time.Duration {
			if pk.dst.Addr() == nobody {
				p.violated("the other address is tried first")
			}
			return steady(pk)
		}
		p.left.handle(hint)
		p.wantReplaced(lostCheck + 500*time.Millisecond)
	}
}

// TestRoundBeginsWhereThePeerWas: the addresses of a peer are looked up again, and another one is
// the first. The IKE SA ends, by a Delete or since the peer has lost it: it is tried where it was.
func TestRoundBeginsWhereThePeerWas(t *testing.T) {
	for name, end := range map[string]func(p *testPair){
		"deleted": func(p *testPair) { p.right.handle(Disconnect{Peer: "left", Once: true, Ref: p.right.ref()}) },
		"lost": func(p *testPair) {
			p.right.kill()
			p.right.start()
			p.left.probe(p.left.main())
		},
	} {
		p := newPair(t, 1, func(p *testPair) {
			withTokens(p)
			p.left.peers[0].Children[0].Start, p.right.peers[0].Remote = StartBoot, nil
		})
		p.up()
		p.left.resolved(append([]netip.Addr{nobody}, p.left.peers[0].Remote...)...)
		was := p.left.main()
		end(p)
		if p.drive(500 * time.Millisecond); p.left.main() == nil || p.left.main() == was {
			p.fatalf("%s: not connected again after 0.5 s", name)
		}
	}
}
