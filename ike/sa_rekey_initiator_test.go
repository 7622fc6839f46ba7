package ike

import (
	"testing"
	"time"
)

// TestNeedlessIKERekeying: a rekeying that is no longer needed when its turn comes makes way for
// the next exchange.
func TestNeedlessIKERekeying(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	var fx Effects
	p.left.e.handling = handling{now: p.now, fx: &fx}
	s := p.left.e.peers.order[0].party.main()
	s.succ.theirs = &ikeSA{} // the peer rekeys it already
	x := &rekeyExchange{}
	s.succ.ours = x
	next := &informational{}
	s.work.Add(x, next)
	s.startNext()
	if s.work.Current() != next || s.succ.ours != nil {
		t.Errorf("the exchange under way is %T, want the one behind the rekeying", s.work.Current())
	}
}

// TestIKERekeyingThatCannotBeMade: the command is answered at once, and the IKE SA is rekeyed after
// a pause.
func TestIKERekeyingThatCannotBeMade(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0 })
	p.up()
	e, old := p.left.e, p.left.main()
	sound := e.cfg
	e.cfg.Rand = brokenReader{}
	ref := p.left.rekey("")
	p.drive(10 * time.Millisecond)
	p.wantDone(p.left, ref, "no randomness: not in this test")
	e.cfg = sound
	p.drive(19 * time.Second)
	if p.left.main() != old {
		p.fatalf("rekeyed within %v", rekeyPause)
	}
	p.drive(12 * time.Second)
	if s := p.left.main(); s == nil || s == old {
		p.fatalf("not rekeyed after %v", rekeyPause)
	}
	p.wantTunnel()
}
