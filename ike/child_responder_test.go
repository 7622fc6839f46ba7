package ike

import (
	"testing"
)

// TestCancelledRekeyingOfThePeer: a pair that was left to the peer's rekeying comes back to life
// when that comes to nothing, but not if another pair has taken its place.
func TestCancelledRekeyingOfThePeer(t *testing.T) {
	for _, succeeded := range []bool{false, true} {
		p := newPair(t, 1, nil)
		p.up()
		var fx Effects
		p.left.e.handling = handling{now: p.now, fx: &fx}
		old := p.left.e.pairs[1]
		old.crossing = &crossing{}
		want := pairLive
		if succeeded {
			old.replaced(&pair{})
			want = pairReplaced
		} else {
			old.replaced(nil)
		}
		childTerms{old: old}.cancel()
		if old.state != want || old.crossing != nil {
			t.Errorf("with a successor %v: the pair is %v, want %v", succeeded, old.state, want)
		}
	}
}
