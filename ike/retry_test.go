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
}

// zeroReader reads zeros.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
