package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// outerLen is the whole IP packet of a message.
func (pk *testPacket) outerLen() int {
	n := len(pk.data) + 28
	if pk.dst.Addr().Is6() {
		n += 20
	}
	if pk.via == ipsec.NAT {
		n += 4
	}
	return n
}

// narrowLink loses what may not be fragmented and is larger than an MTU.
func (p *testPair) narrowLink(mtu int) {
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.whole && pk.outerLen() > mtu {
			return nil
		}
		return link(pk)
	}
}

// probe asks the left side for a size.
func (p *testPair) probe(size int) ipsec.ChildID {
	id := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.ID
	p.left.handle(ProbePath{ID: id, Size: size})
	return id
}

// proven has the left side's path show that it takes fragments.
func (p *testPair) proven() {
	p.probe(600)
	p.drive(time.Second)
	if len(p.left.probed) != 1 || p.left.probed[0].Verdict != ipsec.PathPassed {
		p.fatalf("probed %+v", p.left.probed)
	}
	p.left.probed = nil
}

// wantProbed checks the one answer to it.
func (p *testPair) wantProbed(want ipsec.PathProbe) {
	p.t.Helper()
	got := p.left.probed
	p.left.probed = nil
	if len(got) != 1 || got[0] != want {
		p.fatalf("probed %+v, want %+v", got, want)
	}
}

// dropFragments loses what IP has to fragment and what comes in fragments, on a link of an MTU.
func (p *testPair) dropFragments(mtu int) {
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.part > 0 || pk.outerLen() > mtu {
			return nil
		}
		return link(pk)
	}
}

// forms counts the forms in which requests are sent, and checks their sizes.
type forms struct{ proofs, wholes, parts int }

func (p *testPair) countForms(size int) *forms {
	f := new(forms)
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		small, part := proof4, proofPart4
		if pk.dst.Addr().Is6() {
			small, part = proof6, proofPart6
		}
		switch n := pk.outerLen(); {
		case pk.whole:
			if f.wholes++; n != size {
				p.t.Errorf("a probe of %d octets, want %d", n, size)
			}
		case pk.part == part && n <= small && n > part:
			f.proofs++
		case pk.part == small && n == size:
			f.parts++
		case pk.part != 0:
			p.t.Errorf("%d octets in fragments of %d", n, pk.part)
		}
		return link(pk)
	}
	return f
}

func TestPathProbe(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*testPair)
		sent int
	}{
		"port 500":                {older, 1500},
		"port 4500, no NAT":       {nil, 1500},
		"a NAT, port 4500":        {behindNAT, 1500},
		"IPv6":                    {func(p *testPair) { (&simulation{p: p}).overIPv6(p) }, 1500},
		"a cipher of blocks":      {func(p *testPair) { blocks(p); older(p) }, 1500},
		"blocks and a NAT":        {func(p *testPair) { blocks(p); behindNAT(p) }, 1488},
		"a peer without RFC 7383": {func(p *testPair) { p.right.peers[0].Fragment = 0 }, 1500},
	} {
		t.Run(name, func(t *testing.T) {
			for _, narrow := range []bool{false, true} {
				p := newPair(t, 1, tt.edit)
				p.up2()
				verdict, want := ipsec.PathPassed, forms{proofs: 1, wholes: 1}
				if narrow {
					p.narrowLink(tt.sent - 1)
					verdict, want = ipsec.PathLost, forms{proofs: 1, wholes: probeTries, parts: 1}
				}
				sent := p.countForms(tt.sent)
				id := p.probe(1500)
				p.drive(10 * time.Second)
				p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: tt.sent, Verdict: verdict})
				if *sent != want {
					p.fatalf("sent %+v, want %+v", *sent, want)
				}
				p.probe(1500)
				p.drive(10 * time.Second)
				p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: tt.sent, Verdict: verdict})
				if sent.proofs != 1 {
					p.fatalf("fragments were proven %d times", sent.proofs)
				}
				p.left.rekey("")
				p.drive(2 * time.Second)
				p.wantTunnel()
			}
		})
	}
}

// blocks gives both sides AES-CBC.
func blocks(p *testPair) {
	for _, s := range []*testSide{p.left, p.right} {
		s.peers[0].Proposals = simIKEProposals[1:2]
	}
}

// The request is an INFORMATIONAL one with a notify that all ignore, and changes nothing at the
// peer.
func TestPathProbeDialogue(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.script(true)
	id := p.probe(1400)
	m := p.wantSend("the proof", p.left, wire.Informational, false, "N(status(61773))")
	if m.pk.whole || m.pk.part != proofPart4 || m.pk.outerLen() != proof4 {
		p.fatalf("%d octets, whole %v, in fragments of %d", m.pk.outerLen(), m.pk.whole, m.pk.part)
	}
	p.deliver(m)
	p.deliver(p.wantSend("its answer", p.right, wire.Informational, true, ""))
	m = p.wantSend("the whole", p.left, wire.Informational, false, "N(status(61773))")
	if !m.pk.whole || m.pk.outerLen() != 1400 {
		p.fatalf("%d octets, whole %v", m.pk.outerLen(), m.pk.whole)
	}
	p.deliver(m)
	answer := p.wantSend("the answer", p.right, wire.Informational, true, "")
	if answer.pk.whole {
		p.fatalf("the answer may not be fragmented")
	}
	p.deliver(answer)
	p.wantProbed(ipsec.PathProbe{ID: id, Size: 1400, Sent: 1400, Verdict: ipsec.PathPassed})
	p.wantIdle("that is all")
}

// The answer to the whole is lost each time: the fragments get it again.
func TestPathProbeLosesAnswers(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	link, lose := p.link, true
	p.link = func(pk *testPacket) []time.Duration {
		if lose && pk.msg != nil && pk.from == p.right {
			return nil
		}
		return link(pk)
	}
	p.probe(1500)
	p.drive(2900 * time.Millisecond)
	lose = false
	p.drive(2 * time.Second)
	if len(p.left.probed) != 1 || p.right.e.Counters()["ike_duplicate_request"] < 3 {
		p.fatalf("probed %+v, counters %v", p.left.probed, p.right.e.Counters())
	}
	p.wantTunnel()
}

// A round trip that is known makes the tries of the next one short.
func TestPathProbeFollowsRoundTrip(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.proven()
	p.narrowLink(1400)
	id := p.probe(1500)
	p.drive(probeTries*probeLeast + 100*time.Millisecond)
	p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: 1500, Verdict: ipsec.PathLost})
}

// The least round trip counts: one slow answer does not make the next ones ambiguous.
func TestPathProbeAfterSlowAnswer(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.proven()
	link := p.link
	p.link = func(*testPacket) []time.Duration { return []time.Duration{300 * time.Millisecond} }
	p.probe(700)
	p.drive(2 * time.Second)
	p.link, p.left.probed = link, nil
	p.narrowLink(1400)
	id := p.probe(1500)
	p.drive(10 * time.Second)
	p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: 1500, Verdict: ipsec.PathLost})
}

// What comes up while a probe waits need not: the probe is sent in fragments at once.
func TestPathProbeGivesWay(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.proven()
	p.narrowLink(1400)
	p.probe(1500)
	p.drive(100 * time.Millisecond)
	ref := p.left.rekey("lan")
	p.drive(200 * time.Millisecond)
	p.wantDone(p.left, ref, "")
	if len(p.left.probed) != 1 || p.left.probed[0].Verdict != ipsec.PathUnknown {
		p.fatalf("probed %+v", p.left.probed)
	}
	p.drive(time.Minute)
	p.wantTunnel()
	p.left.probed = nil
	p.probe(1500)
	p.drive(100 * time.Millisecond)
	ref = p.left.disconnect("")
	p.drive(200 * time.Millisecond)
	p.wantDone(p.left, ref, "")
	if len(p.left.probed) != 1 || p.left.probed[0].Verdict != ipsec.PathUnknown {
		p.fatalf("when the peer is closed: probed %+v", p.left.probed)
	}
}

// Nothing is asked beside another exchange, of no SA, or with a
// size in which no message has room.
func TestPathProbeRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*testPair)
		do   func(*testPair)
	}{
		"another exchange": {nil, func(p *testPair) { p.left.rekey("lan"); p.probe(1500) }},
		"no SA":            {nil, func(p *testPair) { p.left.handle(ProbePath{ID: 99, Size: 1500}) }},
		"no room":          {nil, func(p *testPair) { p.probe(80) }},
		"the end":          {nil, func(p *testPair) { p.left.handle(Shutdown{}); p.left.handle(ProbePath{ID: 1, Size: 1500}) }},
	} {
		p := newPair(t, 1, tt.edit)
		p.up2()
		link := p.link
		p.link = func(pk *testPacket) []time.Duration {
			if pk.whole {
				p.violated("%s: a probe is sent", name)
			}
			return link(pk)
		}
		tt.do(p)
		p.drive(3 * time.Second)
		if len(p.left.probed) != 1 || p.left.probed[0].Verdict != ipsec.PathUnknown {
			p.fatalf("%s: probed %+v", name, p.left.probed)
		}
		p.wantSound()
	}
}

// A size that fits a small datagram is sent again as it is: the octets of a message ID do not
// change.
func TestSmallPathProbe(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.proven()
	p.narrowLink(500)
	id := p.probe(540)
	p.drive(10 * time.Second)
	p.wantProbed(ipsec.PathProbe{ID: id, Size: 540, Sent: 540, Verdict: ipsec.PathLost})
	p.wantTunnel()
}

// A peer that is not there is found dead where a liveness check would find it so. Otherwise a probe
// ends nothing, and gives way to what would at once.
func TestPathProbeOfDeadPeer(t *testing.T) {
	for name, tt := range map[string]struct {
		dpd       time.Duration
		sends, up bool
	}{
		"checked":           {30 * time.Second, true, false},
		"idle":              {30 * time.Second, false, true},
		"seldom checked":    {time.Hour, true, true},
		"not checked":       {0, true, true},
		"not checked, idle": {0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) { p.left.peers[0].DPD = tt.dpd })
			p.up2()
			p.proven()
			link, dead := p.link, true
			p.link = func(pk *testPacket) []time.Duration {
				if dead {
					return nil
				}
				return link(pk)
			}
			p.drive(time.Second)
			id := p.probe(1500)
			for range 10 {
				if tt.sends {
					p.left.traffic("lan")
				}
				p.drive(time.Minute)
			}
			if up := p.left.e.Status()[0].State == PeerEstablished; up != tt.up {
				p.fatalf("established %v", up)
			}
			if !tt.up {
				return
			}
			dead = false
			if tt.sends {
				p.drive(time.Minute)
				p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: 1500, Verdict: ipsec.PathLost})
			} else {
				ref := p.left.rekey("lan")
				p.drive(200 * time.Millisecond)
				p.wantDone(p.left, ref, "")
				p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: 1500, Verdict: ipsec.PathUnknown})
			}
			p.drive(time.Minute)
			p.wantTunnel()
		})
	}
}

// A probe under way when our address changes is of another path, and says nothing.
func TestPathProbeOfAnotherPath(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		behindNAT(p)
		p.left.peers[0].Local = netip.Addr{}
	})
	p.up2()
	p.proven()
	p.narrowLink(1400)
	p.probe(1500)
	p.drive(100 * time.Millisecond)
	p.left.addrs = []netip.Addr{netip.MustParseAddr("192.0.2.77"), p.left.addrs[1]}
	p.left.handle(AddressesChanged{})
	p.drive(3 * time.Second)
	if len(p.left.probed) != 1 || p.left.probed[0].Verdict != ipsec.PathUnknown {
		p.fatalf("probed %+v", p.left.probed)
	}
	p.wantTunnel()
}

// TestProbeOfTheDead has the peer restart during a path probe, while exchanges begin to wait one
// after another. None of them gives the probe further tries.
func TestProbeOfTheDead(t *testing.T) {
	for _, proven := range []bool{false, true} {
		p := newPair(t, 1, twoChildren)
		p.wantDone(p.left, p.left.connectFor2s(), "")
		if proven {
			p.proven()
		}
		old := p.left.e.peers.order[0].party.main()
		p.right.kill()
		p.probe(1400)
		p.drive(time.Second)
		p.right.start()
		for _, command := range []func(){
			func() { p.left.rekey("lan") }, func() { p.left.rekey("two") }, func() { p.left.rekey("") },
			func() { p.left.disconnect("two") }, func() { p.left.disconnect("lan") },
		} {
			p.drive(10 * time.Second)
			command()
		}
		if !old.state.ended() {
			p.fatalf("proven %v: after 50 s the IKE SA with the dead still stands", proven)
		}
	}
}
