package ike

import (
	"testing"
	"time"
)

// Shutdown deletes everything at the peers, and ends at once when they answer.
func TestShutdown(t *testing.T) {
	p := bootPair(t)
	p.left.handle(Shutdown{})
	p.drive(100 * time.Millisecond)
	if !p.left.stopped {
		t.Fatal("not stopped, though the peer has answered")
	}
	p.wantNoChild("lan")
	if s := p.right.e.peers.order[0].party.main(); s != nil {
		t.Error("the peer still has the IKE SA")
	}
	for _, in := range []Input{Connect{Peer: "right", Ref: 77}, Acquire{Policy: p.left.policy("lan")}, Rekey{Peer: "right", Ref: 78}, SetPeers{}, Shutdown{}} {
		p.left.handle(in)
	}
	if p.left.done[77] == nil || p.left.done[78] == nil {
		t.Error("commands succeed after Shutdown")
	}
}

// A peer that does not answer delays Shutdown for a short time only. Nothing stays in the
// dataplane.
func TestShutdownUnanswered(t *testing.T) {
	p := bootPair(t)
	p.right.kill()
	p.left.handle(Shutdown{})
	p.drive(shutdownLimit / 2)
	if p.left.stopped {
		t.Fatal("stopped without waiting for the peer")
	}
	p.drive(shutdownLimit)
	if !p.left.stopped || len(p.left.plane.sas) != 0 {
		t.Errorf("stopped %v with %d SAs left", p.left.stopped, len(p.left.plane.sas))
	}
}

// Lost messages of a shutdown are retransmitted: the Delete, and the request that it must wait for
// (the window is one).
func TestShutdownOverALossyLink(t *testing.T) {
	for _, busy := range []bool{false, true} {
		p := bootPair(t)
		link := p.link
		lost := 0
		p.link = func(*testPacket) []time.Duration { lost++; return nil }
		if busy {
			p.left.rekey("lan")
		} else {
			p.left.handle(Shutdown{})
		}
		p.link = link
		if busy {
			p.left.handle(Shutdown{})
		}
		p.drive(shutdownLimit - time.Millisecond)
		if lost == 0 || !p.left.stopped {
			t.Fatalf("busy=%t: %d datagrams lost, stopped %t", busy, lost, p.left.stopped)
		}
		if s := p.right.e.peers.order[0].party.main(); s != nil {
			t.Errorf("busy=%t: the peer still has the IKE SA", busy)
		}
	}
}
