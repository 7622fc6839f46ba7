package ike

import (
	"strings"
	"testing"
	"time"
)

// brokenReader stands for randomness that is not to be had.
type brokenReader struct{ panics bool }

func (r brokenReader) Read([]byte) (int, error) {
	if r.panics {
		panic("a bug")
	}
	return 0, errTest
}

// TestPanicWhileHandlingADatagram: a datagram that makes the engine panic is lost, and nothing
// else.
func TestPanicWhileHandlingADatagram(t *testing.T) {
	p := newPair(t, 1, nil)
	sound := p.right.e.cfg.Rand
	p.right.e.cfg.Rand = brokenReader{panics: true}
	ref := p.left.connect("lan")
	p.drive(500 * time.Millisecond)
	if n := p.right.e.Counters()["ike_panic"]; n != 1 {
		p.fatalf("%d datagrams made the engine panic, want one", n)
	}
	if n := p.wantNotice(p.right, "panic"); n.Level != Error || !strings.Contains(n.Text, "internal error while handling a datagram: a bug") {
		t.Errorf("the notice is %v %q", n.Level, n.Text)
	}
	p.right.e.cfg.Rand = sound
	p.drive(5 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}
