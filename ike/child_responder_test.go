package ike

import (
	"fmt"
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
	"culvert/selector"
)

// TestCancelledRekeyingOfThePeer: a pair that was left to the peer's rekeying comes back to life
// when that comes to nothing, but not if another pair has taken its place.
func TestCancelledRekeyingOfThePeer(t *testing.T) {
	for _, succeeded := range []bool{false, true} {
		p := newPair(t, 1, nil)
		p.up()
		var fx Effects
		p.left.e.handling = handling{now: p.now, fx: &fx}
		old := p.left.e.pairs.Pair(1)
		negotiated(old).crossing = &crossing{}
		want := child.Live
		if succeeded {
			old.Replaced(&child.Pair{})
			want = child.Replaced
		} else {
			old.Replaced(nil)
		}
		childTerms{old: old}.cancel()
		if old.State() != want || negotiated(old).crossing != nil {
			t.Errorf("with a successor %v: the pair is %v, want %v", succeeded, old.State(), want)
		}
	}
}

// manySelectors returns a peer's IKE SA with a number of children for all networks, and 255
// selectors that have nothing in common.
func manySelectors(tb testing.TB, children int) (*ikeSA, []selector.Selector) {
	all := selector.All(false)
	p := newPair(tb, 1, func(p *testPair) {
		for n := 1; n < children; n++ {
			c := p.right.peers[0].Children[0]
			c.Name = fmt.Sprintf("c%d", n)
			c.Local, c.Remote = []selector.Selector{all}, []selector.Selector{all}
			p.right.peers[0].Children = append(p.right.peers[0].Children, c)
		}
	})
	p.left.connect("lan")
	p.drive(2 * time.Second)
	var list []selector.Selector
	for i := range selector.MaxSelectors {
		s, err := selector.ParseSelector(fmt.Sprintf("172.%d.%d.0/25", 16+i>>7, i&127))
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, s)
	}
	s := p.right.e.peers.order[0].party.main()
	s.e.handling = handling{now: p.now, fx: &Effects{}}
	return s, list
}

// offered returns the ESP proposals of a request that we agree to.
func offered(s *ikeSA) (list []wire.Proposal) {
	for i, p := range s.party.policies[0].Settings.Proposals {
		p.Number, p.SPI = uint8(i+1), []byte{1, 2, 3, 4}
		list = append(list, p)
	}
	return list
}

// TestSelectorsOfManyChildren: the work for one request does not grow with the number of children
// that it overlaps with. One child takes as many selectors as a payload holds.
func TestSelectorsOfManyChildren(t *testing.T) {
	for children, refused := range map[int]bool{2: false, 3: true, 100: true} {
		s, list := manySelectors(t, children)
		theirs := offered(s)
		pick, err := s.pickPolicy(theirs, list, list, true)
		if (err != nil) != refused || !refused && len(pick.local) != len(list) {
			t.Errorf("%d children: %d selectors, %v", children, len(pick.local), err)
		}
		if few := list[:2]; children == 100 {
			if _, err := s.pickPolicy(theirs, few, few, true); err != nil {
				t.Errorf("two selectors: %v", err)
			}
		}
	}
}

// BenchmarkSelectorsOfManyChildren is the choice for 255 x 255 selectors among 100 children.
func BenchmarkSelectorsOfManyChildren(b *testing.B) {
	s, list := manySelectors(b, 100)
	theirs := offered(s)
	for b.Loop() {
		s.pickPolicy(theirs, list, list, true)
	}
}
