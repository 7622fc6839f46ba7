package ike

import (
	"strings"
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
// time, and the part that was granted works. An event says so. When the peer answers, the rest
// comes up.
func TestRestIsNotAnswered(t *testing.T) {
	for name, boot := range map[string]bool{"by packets": false, "at boot": true} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				l, r := &p.left.peers[0].Children[0], &p.right.peers[0].Children[0]
				p.right.peers[0].Remote = nil
				l.Local, l.Remote = testNetworks("10.1.0.0/24"), testNetworks("10.2.0.0/24", "10.2.8.0/24")
				r.Local, r.Remote = l.Remote, l.Local
				l.Children, l.Start = ChildrenPerPair, StartTraffic
				if boot {
					l.Start = StartBoot
				}
			})
			silent, link := true, p.link
			p.link = func(pk *testPacket) []time.Duration {
				if silent && pk.msg != nil && pk.from == p.left && pk.msg.hdr.Exchange == wire.CreateChildSA && !pk.msg.hdr.Response {
					return nil
				}
				return link(pk)
			}
			p.left.sendTo("lan", "10.2.0.9")
			p.drive(time.Second)
			p.wantSingly("at first", 1)
			live := func(d time.Duration) {
				for end := p.now.Add(d); p.now.Before(end); p.drive(time.Second) {
					p.left.sendTo("lan", "10.2.0.9")
					p.left.sendTo("lan", "10.2.8.9")
				}
			}
			live(3 * time.Hour)
			said := strings.Count(p.left.saidAll(), "no Child SA for a further part of the networks: the peer does not answer")
			if n := p.left.requests(wire.IKESAInit); n > 20 || said < 10 || said > n {
				t.Errorf("in 3 hours %d IKE SAs, and %d times said", n, said)
			}
			if down := p.left.said("child-down"); down > 0 {
				t.Errorf("what was granted went down %d times", down)
			}
			silent = false
			live(75 * time.Minute)
			p.wantSingly("when it answers", 2)
		})
	}
}
