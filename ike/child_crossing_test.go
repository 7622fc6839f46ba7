package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
)

// TestCrossed: the peer's rekeying crosses ours until it fails, or until its pair or the old one is
// gone.
func TestCrossed(t *testing.T) {
	for name, tt := range map[string]struct {
		cross func(old, theirs *child.Pair)
		want  bool
	}{
		"the peer does nothing":        {func(_, _ *child.Pair) {}, false},
		"the peer's is being computed": {func(old, _ *child.Pair) { negotiated(old).crossing = &crossing{} }, true},
		"the peer's is installed":      {func(old, theirs *child.Pair) { negotiated(old).crossing = &crossing{pair: theirs} }, true},
		"the peer's failed":            {func(old, _ *child.Pair) { negotiated(old).crossing = &crossing{failed: true} }, false},
		"the peer's was deleted": {func(old, theirs *child.Pair) {
			negotiated(old).crossing = &crossing{pair: theirs}
			theirs.Lost(child.EndPeer, "for the test")
		}, false},
		"the peer's is being deleted": {func(old, theirs *child.Pair) {
			negotiated(old).crossing = &crossing{pair: theirs}
			theirs.Delete(child.EndLocal, "for the test")
		}, false},
		"the old one was deleted": {func(old, _ *child.Pair) {
			negotiated(old).crossing = &crossing{}
			old.Lost(child.EndPeer, "for the test")
		}, false},
	} {
		p := newPair(t, 1, twoChildren)
		for _, child := range []string{"lan", "two"} {
			p.left.connect(child)
			p.drive(time.Second)
		}
		p.left.e.handling = handling{now: p.now, fx: &Effects{}}
		old := p.left.e.pairs.Pair(1)
		tt.cross(old, p.left.e.pairs.Pair(2))
		if got := newChildExchange(old.Policy(), old).crossed(); got != tt.want {
			t.Errorf("%s: crossed %v, want %v", name, got, tt.want)
		}
	}
	if newChildExchange(&child.Policy{}, nil).crossed() {
		t.Error("a request for a new pair is crossed")
	}
}
