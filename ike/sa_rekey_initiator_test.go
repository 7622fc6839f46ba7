package ike

import "testing"

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
