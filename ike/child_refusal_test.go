package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// TestRequestThatCannotBeMade: a Child SA whose request cannot be made is answered for, at once,
// and asked for again in a while.
func TestRequestThatCannotBeMade(t *testing.T) {
	withPFS := func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].DPD = 0
			s.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
		}
	}
	for _, tt := range []struct {
		name, why string
		breakIt   func(e *Engine)
	}{
		{"no randomness", "no randomness: not in this test", func(e *Engine) { e.cfg.Rand = brokenReader{} }},
		{"no key exchange", "the key exchange failed to start: not in this test", func(e *Engine) {
			e.cfg.KE = noGroups{}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, 1, withPFS)
			p.up()
			e := p.left.e
			sound := e.cfg
			tt.breakIt(e)
			ref := p.left.rekey("lan")
			p.drive(10 * time.Millisecond)
			p.wantDone(p.left, ref, tt.why)
			if n := len(p.left.plane.allocated); n > 0 {
				p.fatalf("%d SPIs are kept", n)
			}
			e.cfg = sound
			p.drive(19 * time.Second)
			if n := p.left.e.Status()[0].Children[0].Rekeys; n != 0 {
				p.fatalf("%d rekeyings within %v", n, rekeyPause)
			}
			p.drive(9 * time.Second)
			if n := p.left.e.Status()[0].Children[0].Rekeys; n != 1 {
				p.fatalf("%d rekeyings after %v, want one", n, rekeyPause)
			}
			p.wantTunnel()

			p.left.disconnect("lan")
			p.drive(time.Second)
			tt.breakIt(e)
			ref = p.left.connect("lan")
			p.drive(10 * time.Millisecond)
			p.wantDone(p.left, ref, tt.why)
			p.wantNotice(p.left, "child-failed")
			e.cfg = sound
			ref = p.left.connect("lan")
			p.drive(time.Second)
			p.wantDone(p.left, ref, "")
			p.wantTunnel()
		})
	}
}

// TestRekeyCommandIsAnswered: also where the peer refuses, and where the IKE SA goes before the
// answer is there.
func TestRekeyCommandIsAnswered(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	refuseRekeys(p, wire.NoAdditionalSAs, nil)
	ref := p.left.rekey("lan")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "rekeying failed: the peer answered NO_ADDITIONAL_SAS")

	p = newPair(t, 1, nil)
	p.up()
	p.script(true)
	ref = p.left.rekey("lan")
	p.wantSend("left asks, which is lost", p.left, wire.CreateChildSA, false, "...")
	p.right.kill()
	p.drive(5 * time.Minute)
	p.wantDone(p.left, ref, "the peer does not answer")
}

// TestRestIsNotAnswered: a peer grants a part of a child in IKE_AUTH, and answers no request for
// the rest. Such a request costs the IKE SA, which is replaced; the next one waits longer each
// time, while packets of the rest are refused at once and the part that was granted works. It is
// said in an event. Another child beside the first is treated alike.
func TestRestIsNotAnswered(t *testing.T) {
	for name, second := range map[string]bool{"a part": false, "another child": true} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				l, r := &p.left.peers[0], &p.right.peers[0]
				r.Remote = nil
				if second {
					l.Children = append(l.Children, testChild(p.left, "second", 1))
					r.Children = append(r.Children, testChild(p.right, "second", 1))
					return
				}
				l.Children[0].Remote = testNetworks("10.2.0.0/16")
				r.Children[0].Local = testNetworks("10.2.0.0/24")
			})
			p.wantDone(p.left, driven(p, p.left.connect("lan")), "")
			refuseRekeys(p, 0, nil)
			p.lost = nil
			for end := p.now.Add(3 * time.Hour); p.now.Before(end); p.drive(time.Second) {
				p.left.sendTo("lan", "10.2.0.9")
				if second {
					p.left.traffic("second")
				} else {
					p.left.sendTo("lan", "10.2.1.9")
				}
			}
			asked, said := p.left.requests(wire.CreateChildSA), p.left.said("child-unanswered")
			if n := p.left.requests(wire.IKESAInit); n > 12 || asked < 5 || asked > 12 || said < 5 || said > asked {
				t.Errorf("in 3 hours %d IKE SAs, %d requests for the rest, and %d times said", n, asked, said)
			}
			if down := p.left.said("child-down"); down > 0 {
				t.Errorf("what was granted went down %d times", down)
			}
			p.wantSound()
		})
	}
}

// TestOutageIsNoSilence: a request for a child beside another one falls into an outage of half a
// minute. The peer answers it afterwards, and the child is up without the pause for what it does
// not answer.
func TestOutageIsNoSilence(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		severalChildren(2)(p)
		p.left.peers[0].Children[1].Start = StartTraffic
	})
	p.drive(2 * time.Second)
	link := p.link
	p.link = func(*testPacket) []time.Duration { return nil }
	p.left.traffic("lanb")
	p.drive(30 * time.Second)
	p.link = link
	p.waitFor(time.Minute, func() bool {
		p.left.traffic("lanb")
		return p.left.plane.senders() == 2
	})
	if n := p.left.said("child-unanswered"); n != 0 {
		t.Errorf("it was said %d times that the peer does not answer", n)
	}
}
