package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// A Disconnect of one child deletes its SAs and leaves the IKE SA and the other children alone.
func TestDisconnectOfOneChild(t *testing.T) {
	p := newPair(t, 1, twoChildren)
	p.up()
	p.script(true)
	ref := p.left.disconnect("lan")
	p.deliver(p.wantSend("left deletes the child alone", p.left, wire.Informational, false, "D(ESP x1)"))
	p.deliver(p.wantSend("right deletes its half", p.right, wire.Informational, true, "D(ESP x1)"))
	p.wantDone(p.left, ref, "")
	p.wantNoChild("lan")
	p.wantChild(p.left, p.left.peers[0].Children[1].Name)
	if st := p.left.e.Status()[0]; st.State != PeerEstablished {
		t.Errorf("got peer state %v, want established", st.State)
	}
	p.wantIdle("nothing else is closed")

	p.script(false)
	p.left.traffic("lan")
	p.drive(2 * time.Second)
	p.wantChild(p.left, "lan")
}

// Up right after down, while the Delete is outstanding: the new tunnel is not affected by it.
func TestConnectWhileDisconnecting(t *testing.T) {
	for _, child := range []string{"", "lan"} {
		p := newPair(t, 3, nil)
		p.up()
		down, up := p.left.disconnect(child), p.left.connect(child)
		if p.left.answered[up] {
			t.Errorf("%q: up before the old one is down: %v", child, p.left.done[up])
		}
		p.drive(20 * time.Second)
		p.wantDone(p.left, down, "")
		p.wantDone(p.left, up, "")
		p.wantTunnel()
	}
}

// TestConnectAsksAtOnce brings a child up again while its Delete waits for the next repetition: the
// peer can be reached again by now.
func TestConnectAsksAtOnce(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	link := p.link
	p.link = func(*testPacket) []time.Duration { return nil }
	p.left.handle(Disconnect{Peer: "right", Child: "lan", Once: true, Ref: p.left.ref()})
	p.drive(25 * time.Second)
	p.link = link
	ref := p.left.connect("lan")
	p.drive(500 * time.Millisecond)
	p.wantDone(p.left, ref, "")
	p.drive(10 * time.Second)
	p.wantTunnel()
}

// TestDownWhileAChildIsAnswered takes a peer down while the answer to a request of ours for a child
// is on its way: a new one, or one that rekeys. The answer wants nothing up: no other IKE SA is
// made, and nothing is left.
func TestDownWhileAChildIsAnswered(t *testing.T) {
	for _, begin := range []func(s *testSide){
		func(s *testSide) { s.connect("second") }, func(s *testSide) { s.rekey("lan") },
	} {
		p := newPair(t, 1, func(p *testPair) {
			for _, s := range p.sides() {
				s.peers[0].Children = append(s.peers[0].Children, testChild(s, "second", 1))
			}
			p.right.peers[0].Remote = nil
		})
		p.wantDone(p.left, driven(p, p.left.connect("lan")), "")
		p.script(true)
		begin(p.left)
		request := p.wantSend("left asks", p.left, wire.CreateChildSA, false, "...")
		down := p.left.disconnect("")
		p.deliver(request)
		p.deliver(p.wantSend("right answers", p.right, wire.CreateChildSA, true, "..."))
		p.script(false)
		p.deliver(p.wantSend("left deletes it", p.left, wire.Informational, false, "D(IKE)"))
		p.drive(2 * time.Minute)
		p.wantDone(p.left, down, "")
		if n := p.left.requests(wire.IKESAInit); n != 1 {
			p.fatalf("%d IKE SAs were begun", n)
		}
		for _, s := range p.sides() {
			if left := s.leftovers(); left != "" {
				p.fatalf("%s", left)
			}
		}
	}
}
