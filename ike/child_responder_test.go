package ike

import (
	"testing"

	"culvert/ike/child"
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
		(&childAnswer{old: old}).cancel()
		if old.State() != want || negotiated(old).crossing != nil {
			t.Errorf("with a successor %v: the pair is %v, want %v", succeeded, old.State(), want)
		}
	}
}
