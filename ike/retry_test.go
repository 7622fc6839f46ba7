package ike

import (
	"io"
	"testing"
	"testing/iotest"
	"time"
)

// The default plan gives up after about 75 seconds, as RetransmitPlan says.
func TestRetransmitPlanDefaults(t *testing.T) {
	plan := RetransmitPlan{}.withDefaults()
	var least, most time.Duration
	for sent := range plan.Tries + 1 {
		d := plan.pause(sent, zeroReader{})
		least += d
		most += plan.pause(sent, iotest.ErrReader(io.EOF))
		if sent == 0 && d != time.Second {
			t.Errorf("the first pause is %v, want 1s", d)
		}
	}
	if least < 70*time.Second || most > 85*time.Second {
		t.Errorf("given up after %v to %v, want about 75s", least, most)
	}
}

func TestPausesAreJitteredAndBounded(t *testing.T) {
	r := seededRand(1, "retry")
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := RetransmitPlan{First: time.Second, Factor: 2, Tries: 3}.pause(1, r)
		if d < 2*time.Second || d > 2200*time.Millisecond {
			t.Fatalf("second pause %v, want 2s to 2.2s", d)
		}
		seen[d] = true
	}
	if len(seen) < 900 {
		t.Errorf("only %d of 1000 pauses differ", len(seen))
	}
	if d := (RetransmitPlan{First: time.Hour, Factor: 1e300}).pause(1000, zeroReader{}); d != maxRetransmitPause {
		t.Errorf("a mad plan pauses for %v, want %v", d, maxRetransmitPause)
	}
	for failures, want := range map[int]time.Duration{-1: reconnectFirst, 0: reconnectFirst, 1: reconnectFirst, 2: 2 * reconnectFirst, 5: 16 * reconnectFirst, 6: reconnectMax, 1 << 40: reconnectMax} {
		if d := reconnectPause(failures, zeroReader{}); d != want {
			t.Errorf("after %d failures: %v, want %v", failures, d, want)
		}
	}
}

func TestLonger(t *testing.T) {
	r := seededRand(2, "retry")
	for range 1000 {
		if d := longer(time.Hour, r); d < time.Hour || d > 66*time.Minute {
			t.Fatalf("longer(1h) = %v", d)
		}
	}
	for range 1000 {
		if d := temporaryWait(r); d < temporaryPause || d > 3*temporaryPause {
			t.Fatalf("temporaryWait() = %v", d)
		}
	}
	if longer(0, r) != 0 || longer(-5, r) != -5 {
		t.Error("nothing is jittered")
	}
}

// zeroReader reads zeros.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
