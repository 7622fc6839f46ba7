package ike

import (
	"math"
	"testing"
	"time"

	"culvert/ike/window"
	"culvert/ike/wire"
)

// A request that cannot be protected, because keys are used up, ends the IKE SA at once: no other
// could be sent.
func TestRequestThatCannotBeProtected(t *testing.T) {
	p := newPair(t, 3, nil)
	p.up()
	main := p.left.e.peers.order[0].party.main()
	main.keys.fragment = 60 // too small for any fragment
	ref := p.left.rekey("")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "protected")
	if !main.state.ended() {
		t.Errorf("the IKE SA is %v", main.state)
	}
	p.drive(3 * time.Minute)
	p.wantSound()
}

func TestResponseThatCannotBeProtected(t *testing.T) {
	for _, child := range []string{"lan", ""} {
		p := newPair(t, 3, nil)
		p.up()
		main := p.right.e.peers.order[0].party.main()
		main.keys.fragment = 60
		p.left.rekey(child)
		p.drive(time.Second)
		if !main.state.ended() || p.right.e.peers.order[0].party.main() != nil || len(p.right.plane.sas) > 0 {
			t.Errorf("rekeying %q: the IKE SA is %v, with %d Child SAs", child, main.state, len(p.right.plane.sas))
		}
		p.wantReason(p.right, "protected")
		p.drive(3 * time.Minute)
		p.wantSound()
	}
}

// Message IDs do not wrap (RFC 7296, Section 2.2).
func TestMessageIDsUsedUp(t *testing.T) {
	p := newPair(t, 3, nil)
	p.up()
	left, right := p.left.e.peers.order[0].party.main(), p.right.e.peers.order[0].party.main()
	_, keys := newAttack(p).established(p.left)
	const worn = 1 << 31
	l, r := left.win.State(), right.win.State()
	l.Next, r.Expected = worn, worn
	left.win.Restore(l)
	right.win.Restore(r)
	keys.lastID[true], keys.answeredID[true] = worn, worn
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	if left.state == saEstablished || right.state == saEstablished {
		t.Errorf("the IKE SA is not rekeyed: %v and %v", left.state, right.state)
	}
	p.wantTunnel()

	left = p.left.e.peers.order[0].party.main()
	left.win.Restore(window.State{Next: math.MaxUint32})
	ref := p.left.rekey("lan")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "exhausted")
}

// A request that follows the Delete of the IKE SA is counted and not answered.
func TestRequestAfterDelete(t *testing.T) {
	a := newAttack(newPair(t, 3, nil))
	a.up()
	a.script(true)
	main, keys := a.established(a.left)
	a.right.disconnect("")
	del := a.wantSend("right deletes it", a.right, wire.Informational, false, "D(IKE)")
	a.deliver(del)
	a.wantSend("left agrees", a.left, wire.Informational, true, "")
	if !main.state.ended() {
		t.Fatalf("the IKE SA is %v", main.state)
	}
	h := del.hdr
	h.MessageID++
	a.inject(a.left, a.right.home(), a.seal(keys, h, 0, nil))
	if n := a.left.e.Counters()["ike_message_id"]; n != 1 {
		t.Errorf("%d messages are counted, want 1: %v", n, a.left.e.Counters())
	}
	a.wantIdle("the request has no answer")
}

// TestRequestIsHeardAgain: a request is lost with its first repetitions. It is sent once more as
// soon as a request of the peer's shows that the path works, long before its next repetition, and
// once only until then.
func TestRequestIsHeardAgain(t *testing.T) {
	p := newPair(t, 3, func(p *testPair) {
		for _, s := range p.sides() {
			s.peers[0].DPD = 0
			s.peers[0].Retransmit = window.RetransmitPlan{First: 4 * time.Second, Factor: 2, Tries: 5}
		}
	})
	p.up()
	link, lost := p.link, 0
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && pk.from == p.left && !pk.msg.hdr.Response {
			lost++
			return nil
		}
		return link(pk)
	}
	hear := func() {
		p.right.act(func() { p.right.main().enqueue(&informational{}) })
		p.drive(time.Second)
	}
	ref := p.left.rekey("lan")
	hear()
	if lost != 1 {
		t.Fatalf("a request that had not been repeated was sent %d times", lost)
	}
	p.drive(14 * time.Second) // sent after 0, 4 and 12 s, and next after 28 s
	for range 3 {
		hear()
	}
	if lost != 4 {
		t.Fatalf("the request was sent %d times", lost)
	}
	p.drive(12 * time.Second)
	p.link = link
	hear()
	p.wantDone(p.left, ref, "")
	p.wantSound()
}
