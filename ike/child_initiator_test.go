package ike

import (
	"errors"
	"testing"
	"time"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

var errTest = errors.New("not in this test")

// noGroups makes no key exchange.
type noGroups struct{ fakeKEs }

func (noGroups) New(wire.TransformID) (suite.KeyExchange, error) { return nil, errTest }

// TestAbandonedRekeying: a rekeying that ends with its IKE SA leaves the pair, which another IKE SA
// may have, to be rekeyed soon, and answers for itself.
func TestAbandonedRekeying(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.script(true)
	ref := p.left.rekey("lan")
	p.wantSend("left asks, which is lost", p.left, wire.CreateChildSA, false, "...")
	s, pair := p.left.main(), p.left.e.pairs.Pair(1)
	if !pair.Rekeying() {
		p.fatalf("the pair is not being rekeyed")
	}
	p.left.e.handling = handling{now: p.now, fx: &Effects{}}
	s.abandonWork("for the test")
	if pair.Rekeying() || s.win.Outstanding() != nil || s.work.Busy() {
		p.fatalf("the rekeying goes on")
	}
	for _, f := range p.left.e.handling.fx.List {
		p.left.do(f)
	}
	p.wantDone(p.left, ref, "for the test")
	p.drive(7 * time.Second)
	p.deliver(p.wantSend("left asks again", p.left, wire.CreateChildSA, false, "..."))
}
