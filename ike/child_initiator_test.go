package ike

import (
	"errors"
	"testing"
	"time"

	"culvert/ike/child"
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

// TestDeletedBeforeTheResponse: the response to our request is lost until the peer has deleted what
// it made. Nothing is sent on that, and what is wanted comes up again.
func TestDeletedBeforeTheResponse(t *testing.T) {
	for _, rekeys := range []bool{true, false} {
		p := newPair(t, 1, twoChildren)
		p.left.connect("lan")
		p.drive(time.Second)
		p.script(true)
		if rekeys {
			p.left.rekey("lan")
		} else {
			p.left.connect("two")
		}
		p.deliver(p.wantSend("left asks", p.left, wire.CreateChildSA, false, "..."))
		response := p.wantSend("right answers, which takes long", p.right, wire.CreateChildSA, true, "...")
		p.right.act(func() {
			pairs := p.right.main().children.Pairs()
			pairs[len(pairs)-1].Delete(child.EndLocal, "for the test")
		})
		p.drive(11 * time.Second) // right waits for a sign that left has it
		p.left.out = nil          // our request again
		p.deliver(p.wantSend("right deletes it", p.right, wire.Informational, false, "D(ESP x1)"))
		p.left.out = p.left.out[len(p.left.out)-1:] // without our request once more
		p.deliver(p.wantSend("left does not know it", p.left, wire.Informational, true, ""))
		p.deliver(response)
		for _, psa := range p.left.plane.sas {
			if psa.sends && p.right.plane.inbound[psa.sa.SPIOut] == nil {
				p.fatalf("rekeys %v: left sends on %08x, which right has deleted", rekeys, psa.sa.SPIOut)
			}
		}
		p.script(false)
		for _, m := range p.left.out {
			p.send(m.pk)
		}
		p.drive(10 * time.Second)
		p.wantChild(p.left, "lan")
	}
}

// What the peer deletes beside it is kept to a bound.
func TestNoteDeleted(t *testing.T) {
	var x childExchange
	for i := range uint32(2 * maxDeleted) {
		x.noteDeleted(i)
	}
	if len(x.deleted) != maxDeleted || x.deleted[1] != 1 {
		t.Errorf("kept %v", x.deleted)
	}
}
