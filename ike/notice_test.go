package ike

import (
	"fmt"
	"testing"
	"time"
)

// TestLinesOfAPeer: what a peer can make us tell is limited, and the next line tells of what was
// left out.
func TestLinesOfAPeer(t *testing.T) {
	p := newPair(t, 1, nil)
	e := p.right.e
	var fx Effects
	e.handling.fx = &fx
	for range 3000 {
		e.peers.order[0].party.notice(Info, "test", "", "one")
	}
	n := len(fx.List)
	if n != 1024 || e.Counters()["ike_lines_limited"] != uint64(3000-n) {
		t.Errorf("%d lines of 3000, counters %v", n, e.Counters())
	}
	e.handling.now = e.handling.now.Add(time.Second)
	e.peers.order[0].party.notice(Info, "test", "", "two")
	if got, want := fx.List[n].(Notice).Text, fmt.Sprintf("two (and %d lines of this peer were left out before)", 3000-n); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
