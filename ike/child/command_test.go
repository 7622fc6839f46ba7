package child

import (
	"strings"
	"testing"
	"time"

	"culvert/selector"
)

// A packet brings the policy up, also where half of the messages are lost.
func TestTrafficBringsAPolicyUp(t *testing.T) {
	for _, loss := range []float64{0, 0.5} {
		w := newWorld(t, 1, onDemand(0))
		w.loss = loss
		w.run(5 * time.Second)
		l := w.sides[0]
		if len(l.pol.Pairs()) > 0 || l.pol.Wanted() {
			t.Fatal("it came up without traffic")
		}
		l.pol.Acquire(selector.Flow{DstPort: 7}, 0)
		if f := l.pol.Flow(); f == nil || f.DstPort != 7 || !l.pol.Wanted() {
			t.Fatalf("the packet is not remembered: %v", f)
		}
		w.run(30 * time.Second)
		w.wantUp(1)
		if l.count("child-up") != 1 || w.sides[1].count("child-up") != 1 || l.pol.Flow() != nil || l.failed != 0 {
			t.Errorf("reports %v and %v; the packet still waits: %v; refused %d times", l.reports, w.sides[1].reports, l.pol.Flow(), l.failed)
		}
	}
}

// Commands to rekey are answered, whatever comes of them.
func TestRekeyCommand(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.pol.Rekey(1)
	if err := l.done[1]; err == nil || err.Error() != "child \"lan\" is not up" {
		t.Errorf("answered %v", err)
	}
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	w.loss = 1
	l.pol.Rekey(2)
	w.run(5 * time.Second)
	if _, ok := l.done[2]; ok || !l.pol.Best().Rekeying() {
		t.Fatal("it was answered before its end")
	}
	l.sa.end(EndDead)
	if err := l.done[2]; err == nil || !strings.Contains(err.Error(), "the Child SA ended") {
		t.Errorf("answered %v at the end of the pair", err)
	}
}

// A command to stop: what should always be up comes back, by our own after a pause.
func TestStopOnce(t *testing.T) {
	w := newWorld(t, 1, boot)
	w.run(5 * time.Second)
	l := w.sides[0]
	l.pol.Stop()
	ended := l.pol.DeleteAll("for the test")
	if pause := l.pol.NextTry().Sub(w.now); !l.pol.Wanted() || pause < time.Second {
		t.Fatalf("wanted %v, tried after %v", l.pol.Wanted(), pause)
	}
	w.run(10 * time.Second)
	if !ended() || w.sides[1].count("child-down") != 1 || !l.pol.Up() {
		t.Fatalf("ended %v, up %v; the other side: %v", ended(), l.pol.Up(), w.sides[1].reports)
	}
}

// A policy that is held down sends on nothing, and comes up by no packet and no start, until it is
// released.
func TestHoldAndRelease(t *testing.T) {
	w := newWorld(t, 1, boot)
	w.run(5 * time.Second)
	l, r := w.sides[0], w.sides[1]
	r.pol.Hold() // nor does the other side bring it up
	l.pol.Hold()
	if len(l.sends) > 0 {
		t.Fatalf("sends on %v", l.sends)
	}
	ended := l.pol.DeleteAll("for the test")
	w.run(time.Second)
	failed := l.failed
	l.pol.Start()
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Minute)
	if !ended() || l.pol.Up() || l.pol.Wanted() || l.pol.Due() || l.pol.Flow() != nil || l.failed != failed+1 {
		t.Fatalf("ended %v, up %v, wanted %v, due %v, packets answered %d", ended(), l.pol.Up(), l.pol.Wanted(), l.pol.Due(), l.failed-failed)
	}
	r.pol.Release()
	l.pol.Release()
	w.run(10 * time.Second)
	if !l.pol.Up() || len(l.sends) == 0 {
		t.Fatal("it did not come up")
	}
}
