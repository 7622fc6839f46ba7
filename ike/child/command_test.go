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

// A command to stop, then to start.
func TestStopAndStart(t *testing.T) {
	w := newWorld(t, 1, boot)
	w.run(5 * time.Second)
	l := w.sides[0]
	l.pol.Stop()
	w.sides[1].pol.Stop() // the other side does not bring it up either
	ended := l.pol.DeleteAll("for the test")
	w.run(time.Second)
	if !ended() || l.pol.Up() || l.pol.Wanted() || w.sides[1].count("child-down") != 1 {
		t.Fatalf("ended %v, up %v, wanted %v", ended(), l.pol.Up(), l.pol.Wanted())
	}
	w.run(time.Minute)
	if l.pol.Up() {
		t.Fatal("it came back")
	}
	l.pol.Start()
	l.Touch()
	w.run(10 * time.Second)
	if !l.pol.Up() {
		t.Fatal("it did not come up")
	}
}
