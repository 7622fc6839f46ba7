package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
)

// What a Child SA may ask of its IKE SA follows the state of that, and ends with its own deletion.
func TestCarrier(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	s := p.left.e.peers.order[0].party.main()
	pair := p.left.e.pairs.Pair(1)
	c := pair.Carrier()
	if saOf(pair) != s || c.Children().Named(spiOctets(pair.SA.SPIOut)) != pair {
		p.fatalf("the pair is carried by %v", saOf(pair))
	}
	for state, want := range map[saState]struct{ established, ending bool }{
		saEstablished: {true, false}, saRekeyed: {false, false}, saClosing: {false, true}, saDead: {false, true}, saGone: {false, true},
	} {
		s.state = state
		if c.Established() != want.established || c.Ending() != want.ending {
			t.Errorf("%v: established %v, ending %v", state, c.Established(), c.Ending())
		}
	}
	s.state = saEstablished
	p.left.disconnect("lan")
	p.drive(time.Second)
	if pair.State() != child.Gone || saOf(pair) != nil {
		p.fatalf("the pair is %v, carried by %v", pair.State(), saOf(pair))
	}
}
