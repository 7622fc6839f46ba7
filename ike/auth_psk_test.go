package ike

import (
	"testing"
	"time"
)

// A secret is replaced in steps, by both sides' reloads. At each step the tunnel can be set up from
// either side, except where the sides have no accepted secret in common.
func TestSecretIsReplaced(t *testing.T) {
	older, newer := testPSK(), []byte("the secret that comes after it")
	for _, step := range []struct {
		left, right [][]byte
		works       bool
	}{
		{[][]byte{older, newer}, [][]byte{older}, true},
		{[][]byte{older, newer}, [][]byte{older, newer}, true},
		{[][]byte{newer, older}, [][]byte{older, newer}, true},
		{[][]byte{newer, older}, [][]byte{newer, older}, true},
		{[][]byte{newer}, [][]byte{newer, older}, true},
		{[][]byte{newer}, [][]byte{older}, false},
		{[][]byte{newer, older}, [][]byte{older}, false}, // it does not know the one that we use
	} {
		for _, fromRight := range []bool{false, true} {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].PSK, p.left.peers[0].OtherPSKs = step.left[0], step.left[1:]
				p.right.peers[0].PSK, p.right.peers[0].OtherPSKs = step.right[0], step.right[1:]
			})
			from := p.left
			if fromRight {
				from = p.right
			}
			ref := from.connect("")
			p.drive(2 * time.Second)
			if works := from.done[ref] == nil; works != step.works || !from.answered[ref] {
				t.Errorf("%q and %q, from the right %v: works %v", step.left, step.right, fromRight, works)
			}
		}
	}
}
