package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A peer that was killed and restarted, but does not initiate: the probe gets no answer or
// INVALID_IKE_SPI, and soon there is a new tunnel.
func TestKilledResponderIsReplaced(t *testing.T) {
	for _, back := range []time.Duration{0, 5 * time.Second} {
		p := newPair(t, 1, func(p *testPair) {
			p.right.peers[0].Remote = nil
			p.left.peers[0].DPD = time.Second
		})
		p.up()
		p.left.traffic("lan")
		p.right.kill()
		p.drive(back)
		p.right.start()
		took := p.waitFor(2*time.Minute, func() bool {
			p.left.traffic("lan")
			return p.right.plane.senders() == 1
		})
		if took > 30*time.Second {
			p.fatalf("a new tunnel only after %v", took)
		}
	}
}

// With a DPD interval of 2 s a dead peer is found in about 4 s, from the interval and a check that
// takes no longer.
func TestDeadPeerIsFoundWithinTwoIntervals(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].DPD = 2 * time.Second })
	p.up()
	p.right.kill()
	took := p.waitFor(time.Minute, func() bool {
		p.left.traffic("lan")
		return len(p.left.plane.sas) == 0
	})
	if took < 2*time.Second || took > 5*time.Second {
		p.fatalf("dead after %v", took)
	}
	p.wantNotice(p.left, "peer-dead")
}

// lostSPI returns an unprotected INVALID_SPI from one side to the other, about an SPI that the
// other may send to.
func (s *testSide) lostSPI(spi uint32) Datagram {
	m := wire.Message{
		Header:   wire.Header{InitiatorSPI: 7, Exchange: wire.Informational, Initiator: true},
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidSPI, Data: binary.BigEndian.AppendUint32(nil, spi)}},
	}
	path := s.other().main().net.Path
	return Datagram{Path: ipsec.UDPPath(path.Local(), path.Remote()), Data: m.AppendTo(nil)}
}

// main returns the side's IKE SA with the only peer.
func (s *testSide) main() *ikeSA { return s.e.peers.order[0].party.main() }

// Whatever the hint is, a peer that is alive is asked once in ten seconds, and loses nothing.
func TestHintsOfALivePeer(t *testing.T) {
	for name, hint := range map[string]func(p *testPair) Input{
		"INVALID_SPI": func(p *testPair) Input { return p.right.lostSPI(p.left.main().children.Pairs()[0].SA.SPIOut) },
		"a Child SA":  func(p *testPair) Input { return Hint{ID: p.left.main().children.Pairs()[0].SA.ID} },
		"an address":  func(p *testPair) Input { return Hint{Remote: p.right.home().Addr()} },
	} {
		p := newPair(t, 1, nil)
		p.up()
		was := p.left.main().spi
		in := hint(p)
		for range 90 { // 9 s
			p.left.handle(in)
			p.drive(100 * time.Millisecond)
		}
		if n := p.left.requests(wire.Informational); n != 1 {
			p.fatalf("%s: %d checks for the hints of 9 s", name, n)
		}
		p.drive(time.Second)
		p.left.handle(in)
		p.drive(time.Second)
		if n := p.left.requests(wire.Informational); n != 2 {
			p.fatalf("%s: %d checks for the hints of 11 s", name, n)
		}
		if p.left.requests(wire.IKESAInit) != 1 || p.left.main().spi != was {
			p.fatalf("%s: there was another IKE SA", name)
		}
		p.wantTunnel()
	}
}

// TestHintAboutAnEndedPair: the dataplane reports a pair that is rekeyed and deleted meanwhile. The
// peer is asked nevertheless, since the dataplane reports a silence once.
func TestHintAboutAnEndedPair(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	old := p.left.main().children.Pairs()[0].SA.ID
	p.left.rekey("lan")
	if p.drive(time.Second); p.left.e.pairs.Pair(old) == nil || p.left.e.pairs.Carried(old) != nil {
		p.fatalf("the old pair does not linger")
	}
	before := p.left.requests(wire.Informational)
	p.left.handle(Hint{ID: old})
	if n := p.left.requests(wire.Informational) - before; n != 1 {
		p.fatalf("%d checks", n)
	}
	p.drive(10 * time.Second)
	if p.left.e.pairs.Pair(old) != nil {
		p.fatalf("the old pair lingers for long")
	}
	p.left.handle(Hint{ID: old})
	if n := p.left.requests(wire.Informational) - before; n != 1 {
		p.fatalf("%d checks after a hint about a pair that is forgotten", n)
	}
}

// What does not concern an IKE SA causes no check.
func TestHintsOfNothing(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	pair := p.left.main().children.Pairs()[0].SA
	elsewhere := p.right.lostSPI(pair.SPIOut)
	elsewhere.Path = ipsec.UDPPath(elsewhere.Path.Local(), netip.MustParseAddrPort("192.0.2.99:500"))
	for name, in := range map[string]Input{
		"another SPI":       p.right.lostSPI(pair.SPIOut + 1),
		"the inbound SPI":   p.right.lostSPI(pair.SPIIn),
		"from elsewhere":    elsewhere,
		"another Child SA":  Hint{ID: pair.ID + 1},
		"another address":   Hint{Remote: netip.MustParseAddr("192.0.2.99")},
		"no address at all": Hint{},
	} {
		p.left.handle(in)
		if n := p.left.requests(wire.Informational); n != 0 {
			p.fatalf("%s: %d checks", name, n)
		}
	}
	if n := p.right.requests(wire.Informational); n != 0 {
		p.fatalf("an INVALID_SPI was answered")
	}
}

// An unprotected INVALID_SPI that is malformed is neither a hint nor answered as a request.
func TestMalformedInvalidSPI(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	spi := p.left.main().children.Pairs()[0].SA.SPIOut
	for name, data := range map[string][]byte{
		"empty": nil, "short": {1, 2, 3}, "long": append(binary.BigEndian.AppendUint32(nil, spi), 0),
	} {
		d := p.right.lostSPI(spi)
		m := wire.Message{
			Header:   wire.Header{InitiatorSPI: 7, Exchange: wire.Informational, Initiator: true},
			Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidSPI, Data: data}},
		}
		d.Data = m.AppendTo(nil)
		p.left.handle(d)
		p.drive(time.Second)
		if p.left.requests(wire.Informational) != 0 || p.left.e.Counters()["ike_liveness_hints"] != 0 {
			p.fatalf("%s: it counts as a hint", name)
		}
	}
}

// A peer that was killed and restarted, and is known by a hint to have lost the SAs, is connected
// to within 4 s, by an IKE SA that is made beside the old one.
func TestHintOfARestartedPeer(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	hint := Hint{ID: p.left.main().children.Pairs()[0].SA.ID}
	p.right.kill()
	p.drive(time.Second)
	p.right.start()
	p.left.handle(hint)
	p.wantReplaced(time.Second) // its INVALID_IKE_SPI makes the check shorter
	p.wantNotice(p.left, "peer-silent")
	if n := p.left.requests(wire.IKESAInit); n != 2 {
		p.fatalf("%d IKE SAs were begun", n)
	}
}

// wantReplaced checks that left makes an IKE SA with a restarted right within a time, and that all
// is well a minute later.
func (p *testPair) wantReplaced(within time.Duration) {
	p.t.Helper()
	begun := p.now
	for p.right.main() == nil || p.left.main() == nil || p.left.main().spi != p.right.main().spi {
		p.drive(10 * time.Millisecond)
		if p.now.Sub(begun) > within {
			p.fatalf("not connected after %v", within)
		}
	}
	p.drive(time.Minute)
	p.wantTunnel()
}

// A peer that was killed and restarted, and tells that by INVALID_SPI. It keeps silent about the
// IKE SA.
func TestInvalidSPIOfARestartedPeer(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	hint := p.right.lostSPI(p.left.main().children.Pairs()[0].SA.SPIOut)
	p.right.kill()
	p.drive(time.Second)
	p.right.start()
	for p.right.e.unprotected.AllowAnswer(p.now, p.left.home().Addr(), true) { // it sends no INVALID_IKE_SPI for a second
	}
	p.left.handle(hint)
	p.wantReplaced(time.Second)
}

// A check that nobody answers at all takes hintedCheck before another IKE SA is tried.
func TestHintOfASilentPeer(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.right.kill()
	p.left.handle(Hint{Remote: p.right.home().Addr()})
	p.drive(hintedCheck - time.Millisecond)
	if n := p.left.requests(wire.IKESAInit); n != 1 {
		p.fatalf("another IKE SA is tried too early")
	}
	p.drive(hintedCheck/10 + 10*time.Millisecond)
	if n := p.left.requests(wire.IKESAInit); n != 2 {
		p.fatalf("no other IKE SA is tried")
	}
	if n := p.left.e.Counters()["ike_liveness_hints"]; n != 1 {
		p.fatalf("%d hints", n)
	}
}

// A restarted peer that gets ESP on SAs that it lost calls back, though it starts nothing by
// itself: so does one whose policies wait for traffic, once in a while, and no other.
func TestCallBack(t *testing.T) {
	for _, c := range []struct {
		start StartMode
		calls int
	}{{StartTraffic, 1}, {StartNever, 0}} {
		p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Children[0].Start = c.start })
		p.up()
		stray := UnknownSPI{Path: ipsec.UDPPath(p.right.home(), p.left.home()), SPI: 7}
		p.right.kill()
		p.right.start()
		elsewhere := stray
		elsewhere.Path = ipsec.UDPPath(p.right.home(), netip.MustParseAddrPort("192.0.2.99:500"))
		p.right.handle(elsewhere)
		p.drive(10 * time.Millisecond)
		if n := p.right.requests(wire.IKESAInit); n != 0 {
			p.fatalf("it calls a stranger")
		}
		link := p.link
		p.link = func(pk *testPacket) []time.Duration { return nil }
		before := p.right.requests(wire.IKESAInit)
		for range 9 {
			p.right.handle(stray)
			p.drive(time.Second)
		}
		if n := p.right.requests(wire.IKESAInit) - before; n != c.calls {
			p.fatalf("%d calls, want %d", n, c.calls)
		}
		p.link = link
		p.drive(40 * time.Second)
		if c.calls == 0 {
			continue
		}
		p.wantTunnel()
		p.right.handle(Disconnect{Peer: p.right.peers[0].Name})
		p.drive(10 * time.Second)
		p.right.handle(stray) // it was on its way
		p.drive(time.Second)
		if p.right.main() != nil {
			p.fatalf("a late packet brings up a tunnel that was closed")
		}
	}
}

// A hint in the middle of an outage ends nothing: the IKE SA goes on when the outage is over, and
// the attempt beside it is dropped.
func TestHintDuringAnOutage(t *testing.T) {
	for _, outage := range []time.Duration{4 * time.Second, 12 * time.Second} {
		p := newPair(t, 1, nil)
		p.up()
		was, link := p.left.main().spi, p.link
		p.link = func(*testPacket) []time.Duration { return nil }
		p.left.handle(Hint{Remote: p.right.home().Addr()})
		p.drive(outage)
		if p.left.requests(wire.IKESAInit) < 2 {
			p.fatalf("nothing was tried beside the IKE SA")
		}
		p.left.traffic("lan")
		// The first copy of the check that passes comes before the next IKE_SA_INIT.
		p.link = func(pk *testPacket) []time.Duration {
			if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKESAInit {
				return nil
			}
			return link(pk)
		}
		p.drive(10 * time.Second)
		p.link = link
		p.wantNotice(p.left, "peer-heard")
		p.drive(time.Minute)
		if p.left.main().spi != was || len(p.left.e.sas.bySPI) != 1 {
			p.fatalf("after %v: another IKE SA, of %d", outage, len(p.left.e.sas.bySPI))
		}
		p.wantTunnel()
	}
}

// An IKE SA in whose place none is tried, as it carries nothing or another one is tried already,
// does not end by the short plan.
func TestHintWhereNothingIsTried(t *testing.T) {
	for name, prepare := range map[string]func(p *testPair, s *ikeSA){
		"no Child SA": func(p *testPair, s *ikeSA) {
			p.left.handle(Disconnect{Peer: "right", Child: "lan"})
			p.drive(10 * time.Second)
		},
		"dying": func(p *testPair, s *ikeSA) { s.succ.outlook, s.party.replacing.at = outlookDying, p.now.Add(time.Hour) },
	} {
		p := newPair(t, 1, nil)
		p.up()
		s := p.left.main()
		prepare(p, s)
		p.link = func(*testPacket) []time.Duration { return nil }
		p.left.handle(Hint{Remote: p.right.home().Addr()})
		p.drive(20 * time.Second)
		if s.state != saEstablished {
			p.fatalf("%s: the IKE SA is %v", name, s.state)
		}
	}
}

// A peer that cannot be connected to is asked for as long as by any other check.
func TestHintOfACaller(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	p.left.kill()
	p.right.handle(Hint{Remote: p.left.home().Addr()})
	took := p.waitFor(time.Minute, func() bool { return p.right.main() == nil })
	if took < 20*time.Second || took > 27*time.Second {
		p.fatalf("given up after %v", took)
	}
}

// Behind an address that many share, a hint about it tells nothing of any of them.
func TestHintAboutASharedAddress(t *testing.T) {
	for _, n := range []int{maxSharing - 1, maxSharing} { // beside the one of the pair
		p := newPair(t, 1, nil)
		p.up()
		at := p.right.home().Addr()
		for range n {
			o := &ikeSA{}
			o.live.sa = o
			p.left.e.sas.byAddr[at] = append(p.left.e.sas.byAddr[at], o)
		}
		p.left.handle(Hint{Remote: at})
		if got := p.left.requests(wire.Informational); got != btoi(n < maxSharing) {
			p.fatalf("%d checks with %d others", got, n)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A peer that connects without INITIAL_CONTACT while an older IKE SA stands may have lost that one:
// its IKE_SA_INIT is a hint, and so is its IKE_AUTH, which may come from another address.
func TestAnotherIKESAIsAHint(t *testing.T) {
	for _, c := range []struct {
		name    string
		address bool // is known
		within  time.Duration
	}{{"IKE_SA_INIT", true, testRTT}, {"IKE_AUTH", false, 2*testRTT + 10*time.Millisecond}} {
		p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
		p.up()
		p.drive(time.Second)
		if !c.address {
			p.right.e.sas.byAddr = addrTable{}
		}
		old := p.left.main()
		old.succ.outlook = outlookDying
		old.e.touch(old.party)
		p.left.handle(Hint{})
		p.drive(c.within)
		if n := p.right.requests(wire.Informational); n != 1 {
			p.fatalf("the old IKE SA is checked %d times within %v, after %s", n, c.within, c.name)
		}
		p.drive(10 * time.Second)
		p.wantTunnel()
	}
}

// An IKE SA that the peer has given up without our hearing of it carries nothing, and is found
// within the DPD interval because there is a newer one.
func TestOutdatedIKESAIsFound(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	p.left.kill()
	p.left.start()
	old := p.right.main()
	old.live.Hinted(p.now)
	old.live.Received(p.now)
	old.remoteKey.Data += " by another name" // INITIAL_CONTACT passes it over
	p.left.connect("")
	p.drive(time.Second)
	old.remoteKey = p.right.main().remoteKey
	if n := len(p.right.e.sas.bySPI); n != 2 {
		p.fatalf("%d IKE SAs", n)
	}
	p.drive(60 * time.Second)
	if !old.state.ended() {
		p.fatalf("the old IKE SA is %v after a minute", old.state)
	}
	p.wantTunnel()
}

// The table by addresses follows each IKE SA, and holds no other.
func (s *testSide) wantAddrTable() string {
	listed := 0
	for at, list := range s.e.sas.byAddr {
		for _, sa := range list {
			if sa.state != saEstablished && sa.state != saClosing || sa.net.Remote().Addr() != at || sa.listed != at {
				return fmt.Sprintf("%s lists an IKE SA that is %v at %v under %v", s.name, sa.state, sa.net.Remote(), at)
			}
			listed++
		}
	}
	for _, sa := range s.e.sas.bySPI {
		if sa.state == saEstablished || sa.state == saClosing {
			listed--
		}
	}
	if listed != 0 {
		return fmt.Sprintf("%s lists %d established IKE SAs more than it has", s.name, listed)
	}
	return ""
}

// A peer that deletes the IKE SA and is back within a fraction of a second, as at a restart, is
// connected to within a quarter of a second.
func TestRestartedPeerIsTriedAtOnce(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.right.peers[0].Remote = nil
		p.left.peers[0].Children[0].Start = StartBoot
	})
	p.up()
	p.right.handle(Shutdown{})
	for len(p.left.plane.sas) > 0 {
		p.drive(10 * time.Millisecond)
	}
	p.right.kill()
	p.drive(130 * time.Millisecond)
	p.right.start()
	back := p.now
	for p.left.plane.senders() == 0 && p.now.Sub(back) < 5*time.Second {
		p.drive(10 * time.Millisecond)
	}
	if took := p.now.Sub(back); took > 250*time.Millisecond {
		p.fatalf("back after %v", took)
	}
}

// A peer says, protected, that it does not know the SPI of a Child SA: if it has lost it, there is
// another one at once; if not, it is rekeyed without loss. Repeated words cost nothing.
func TestPeerLacksAChildSA(t *testing.T) {
	for _, lost := range []bool{true, false} {
		p := newPair(t, 1, nil)
		p.up()
		p.left.traffic("lan")
		p.drive(time.Second)
		pair := p.left.main().children.Pairs()[0]
		if lost {
			gone := p.right.main().children.Pairs()[0]
			gone.Lost(child.EndLocal, "lost by the test")
			p.right.plane.remove(gone.SA.ID)
		}
		say := func(spi uint32) {
			n := &wire.Notify{Kind: wire.InvalidSPI, Data: binary.BigEndian.AppendUint32(nil, spi)}
			p.right.main().enqueue(&informational{payloads: []wire.Payload{n}})
			p.right.handle(Wake{})
			p.drive(time.Second)
		}
		say(pair.SA.SPIIn) // not one that left sends to
		if n := p.left.requests(wire.CreateChildSA); n != 0 {
			p.fatalf("lost=%t: %d requests because of another SPI", lost, n)
		}
		say(pair.SA.SPIOut)
		if got := p.left.main().children.Pairs(); len(got) != 1 || got[0] == pair {
			p.fatalf("lost=%t: %d pairs, the old one is the first: %t", lost, len(got), got[0] == pair)
		}
		sent := p.left.requests(wire.CreateChildSA)
		for range 5 {
			say(p.left.main().children.Pairs()[0].SA.SPIOut)
		}
		if n := p.left.requests(wire.CreateChildSA); n != sent {
			p.fatalf("lost=%t: %d further requests", lost, n-sent)
		}
		if n := p.left.e.Counters()["ike_peer_lacks_child"]; n != 1 {
			p.fatalf("lost=%t: counted %d", lost, n)
		}
		p.drive(time.Minute) // the old one is there for late packets
		p.wantTunnel()
	}
}

// A request that the peer sent right before it was killed comes after the sign of its restart. It
// does not prove that the peer has the IKE SA: the check goes on, and the tunnel is back within its
// time.
func TestRequestFromBeforeTheRestart(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start, p.right.peers[0].Remote = StartBoot, nil
	})
	p.up()
	late := 200 * time.Millisecond
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if m := pk.msg; m != nil && pk.from == p.right && !m.hdr.Response && m.protected {
			return []time.Duration{late}
		}
		return link(pk)
	}
	p.right.probe(p.right.main())
	p.right.kill()
	p.right.start()
	for id := range p.left.plane.sas {
		p.left.handle(Hint{ID: id})
	}
	p.drive(3 * time.Second)
	if n := len(p.right.plane.sas); n != 1 {
		p.fatalf("right has %d Child SAs", n)
	}
	p.drive(2 * time.Minute) // the old IKE SA ends
	p.wantTunnel()
}

// A response that the peer sent right before it was killed comes after the sign of its restart. It
// does not prove that the peer has the IKE SA: another request is sent.
func TestResponseFromBeforeTheRestart(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Start, p.right.peers[0].Remote = StartBoot, nil
	})
	p.up()
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if m := pk.msg; m != nil && pk.from == p.right && m.hdr.Response && m.protected {
			return []time.Duration{200 * time.Millisecond}
		}
		return link(pk)
	}
	p.left.probe(p.left.main())
	p.drive(rtt)
	p.right.kill()
	p.right.start()
	for id := range p.left.plane.sas {
		p.left.handle(Hint{ID: id})
	}
	p.drive(3 * time.Second)
	if n := len(p.right.plane.sas); n != 1 {
		p.fatalf("right has %d Child SAs", n)
	}
	p.drive(2 * time.Minute) // the old IKE SA ends
	p.wantTunnel()
}
