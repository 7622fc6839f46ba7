package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// A pair that lingers after a rekeying is not sent on when its successor is deleted: the peer would
// not know the SPI.
func TestDownRightAfterRekey(t *testing.T) {
	for _, child := range []string{"", "lan"} {
		p := newPair(t, 1, nil)
		p.up()
		ref := p.left.rekey("lan")
		p.drive(time.Second)
		p.wantDone(p.left, ref, "")
		if n := len(p.left.plane.ofPolicy(p.left.policy("lan"))); n != 2 {
			t.Fatalf("%d pairs after the rekeying, want the new one and the one that lingers", n)
		}
		ref = p.left.disconnect(child)
		p.drive(time.Second)
		p.wantDone(p.left, ref, "")
		for _, s := range []*testSide{p.left, p.right} {
			if n := len(s.plane.ofPolicy(s.policy("lan"))); n != 0 {
				t.Errorf("down %q: %s has %d pairs, want none", child, s.name, n)
			}
		}
		p.left.traffic("lan")
		p.drive(time.Second)
		p.wantTunnel()
	}
}

// An attempt that is withdrawn during IKE_AUTH: the peer may have the IKE SA by then, and gets a
// Delete once its response arrives.
func TestWithdrawnWhileAuthenticating(t *testing.T) {
	for _, refused := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			if refused {
				p.right.peers[0].PSK = []byte("wrong")
			}
		})
		p.script(true)
		up := p.left.connect("")
		p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
		p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
		auth := p.wantSend("left proves itself", p.left, wire.IKEAuth, false, "...")
		down := p.left.disconnect("")
		p.deliver(auth)
		p.deliver(p.wantSend("right answers", p.right, wire.IKEAuth, true, "..."))
		if !refused {
			p.deliver(p.wantSend("left deletes it", p.left, wire.Informational, false, "D(IKE)"))
			p.deliver(p.wantSend("right does, too", p.right, wire.Informational, true, ""))
		}
		p.wantIdle("that is all")
		p.wantDone(p.left, up, "taken down")
		p.wantDone(p.left, down, "")
		p.drive(2 * time.Minute)
		for _, s := range []*testSide{p.left, p.right} {
			if left := s.leftovers(); left != "" {
				p.fatalf("%s", left)
			}
		}
	}
}

// TestDownWhileAKeyIsMade takes a peer down while the key of a rekeying is made, of the IKE SA or a
// Child SA. The rekeying is not sent: the Delete would wait for its response.
func TestDownWhileAKeyIsMade(t *testing.T) {
	for _, child := range []string{"", "lan"} {
		p := newPair(t, 1, withPFS)
		p.up()
		asked := p.left.requests(wire.CreateChildSA)
		rekey, down := p.left.rekey(child), p.left.disconnect("")
		p.drive(time.Second)
		if n := p.left.requests(wire.CreateChildSA) - asked; n != 0 {
			t.Errorf("%q: %d requests are sent", child, n)
		}
		p.wantDone(p.left, down, "")
		p.wantDone(p.left, rekey, "is being deleted")
		p.drive(2 * time.Minute)
		for _, s := range []*testSide{p.left, p.right} {
			if left := s.leftovers(); left != "" {
				p.fatalf("%q: %s", child, left)
			}
		}
	}
}

// deniedDelete has left delete an IKE SA that its peer lost by a restart, while forged
// INVALID_IKE_SPIs come in numbers, and returns it.
func deniedDelete(t *testing.T, answers bool) (p *testPair, s *ikeSA) {
	p = newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
	p.up()
	s = p.left.main()
	p.right.kill()
	if answers {
		p.right.start()
	}
	p.left.handle(Disconnect{Peer: "right", By: "root", Ref: p.left.ref()})
	return p, s
}

// TestDeleteThatIsDenied: a peer that answers each Delete by INVALID_IKE_SPI does not have the IKE
// SA, and what was taken down ends after a few of them.
func TestDeleteThatIsDenied(t *testing.T) {
	p, s := deniedDelete(t, true)
	if took := p.waitFor(time.Minute, func() bool { return s.state.ended() }); took > 6*time.Second {
		p.fatalf("it ends after %v", took)
	}
}

// TestForgedDenials: those that answer no Delete count once for each, so that the Delete is still
// repeated as often.
func TestForgedDenials(t *testing.T) {
	p, s := deniedDelete(t, false)
	a, h := newAttack(p), s.spi
	forged := wire.Message{
		Header: wire.Header{
			InitiatorSPI: h.I, ResponderSPI: h.R, Exchange: wire.Informational, Response: true, MessageID: s.win.Outstanding().ID,
		},
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidIKESPI}},
	}
	for range 20 { // 2 s: the Delete is sent twice
		a.inject(p.left, p.right.home(), forged.AppendTo(nil))
		p.drive(100 * time.Millisecond)
	}
	if s.deleteDenied() || s.state.ended() {
		p.fatalf("many denials of few Deletes count")
	}
	if took := p.waitFor(time.Minute, func() bool { return s.state.ended() }); took < 15*time.Second {
		p.fatalf("it ends after %v", took)
	}
	if n := p.left.e.Counters()["ike_retransmitted"]; n < livenessTries {
		p.fatalf("%d repetitions, want %d at least", n, livenessTries)
	}
}

// TestRequestBeforeTheDelete has left take its IKE SA down while a request waits for the answer of
// a peer that lost it by a restart. The Delete waits as well, and the denials of the request count:
// after a few of them it ends. Without any answer it ends after the repetitions of a check.
func TestRequestBeforeTheDelete(t *testing.T) {
	for answers, most := range map[bool]time.Duration{true: 6 * time.Second, false: 25 * time.Second} {
		p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Remote = nil })
		p.up()
		s := p.left.main()
		p.right.kill()
		p.left.rekey("lan")
		if answers {
			p.right.start()
		}
		ref := p.left.ref()
		p.left.handle(Disconnect{Peer: "right", By: "root", Ref: ref})
		if x, ok := s.work.Current().(*childExchange); !ok || s.win.Outstanding() == nil {
			t.Fatalf("%T is under way", x)
		}
		if took := p.waitFor(time.Minute, func() bool { return s.state.ended() }); took > most {
			t.Errorf("answers %v: it ends after %v", answers, took)
		}
		p.wantDone(p.left, ref, "")
	}
}

// TestNewRequestIsDeniedAlone: the denials of one request do not count for the next.
func TestNewRequestIsDeniedAlone(t *testing.T) {
	p, s := deniedDelete(t, true)
	p.waitFor(time.Minute, func() bool { return s.live.denied == enoughDenials-1 })
	s.live.noteAsked()
	if s.denied(); s.live.denied != 1 || s.deleteDenied() {
		p.fatalf("%d denials of a new request", s.live.denied)
	}
}
