package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// Byte and packet limits, as the dataplane reports them.
func TestExpire(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	lan := p.left.policy("lan")
	first := p.left.plane.ofPolicy(lan)[0].sa
	p.left.handle(Expire{ID: first.ID})
	p.left.handle(Expire{ID: first.ID}) // a second report changes nothing
	p.drive(10 * time.Second)
	p.wantTunnel()
	second := p.left.plane.ofPolicy(lan)[0].sa
	if second.SPIIn == first.SPIIn {
		t.Fatal("not rekeyed at the soft limit")
	}
	p.left.handle(Expire{ID: first.ID, Hard: true}) // late, for what is gone
	p.left.handle(Expire{ID: second.ID, Hard: true})
	p.drive(10 * time.Second)
	p.wantNoChild("lan")
	p.left.traffic("lan")
	p.drive(2 * time.Second)
	p.wantTunnel()
}

// RFC 7296, Section 2.25: TEMPORARY_FAILURE is tried again in a while, but not for ever.
func TestTemporaryFailureForEver(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.up()
	q := p.right.e.peers.order[0].party.policies[0].Main().Pairs()[0]
	q.Replaced(nil) // the right's idea of things is wrong
	q.RekeyIn(24 * time.Hour)
	ref := p.left.rekey("lan")
	p.drive(5 * time.Minute)
	p.wantNotice(p.left, "ike-down")
	p.wantTunnel()
	if !p.left.answered[ref] {
		t.Error("the command was not answered")
	}
	if n := p.left.requests(wire.CreateChildSA); n < 10 || n > temporaryTries+1 {
		t.Errorf("asked %d times, want some, but at most %d", n, temporaryTries+1)
	}
}

// The peer knows nothing of the pair that we want rekeyed: a new one is made.
func TestChildSANotFound(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	var fx Effects
	p.right.e.handling = handling{now: p.now, fx: &fx}
	p.right.e.pairs.Pair(1).Lost(child.EndLocal, "the right forgot it")
	for _, f := range fx.List {
		p.right.do(f)
	}
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	p.wantTunnel()
	p.wantAgreement() // no SPI is kept for the rekeying
	if n := p.left.plane.ofPolicy(p.left.policy("lan")); n[0].sa.ID != 2 {
		t.Errorf("child %d, want a second one", n[0].sa.ID)
	}
}
