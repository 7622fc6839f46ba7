package child

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"culvert/selector"
)

// TestRekeyMargin: the creator rekeys at 90 to 97% of the lifetime, the other side at 98 to 100%.
func TestRekeyMargin(t *testing.T) {
	zeros, broken := bytes.NewReader(make([]byte, 16)), iotest.ErrReader(io.EOF)
	for _, tt := range []struct {
		rand    io.Reader
		creator bool
		want    time.Duration
	}{
		{zeros, true, 97 * time.Second},
		{broken, true, 90 * time.Second}, // without randomness it is the most that may be taken off
		{zeros, false, 100 * time.Second},
		{broken, false, 98 * time.Second},
	} {
		if got := RekeyMargin(100*time.Second, tt.creator, tt.rand); got != tt.want {
			t.Errorf("by its creator %v: %v, want %v", tt.creator, got, tt.want)
		}
	}
}

// Rekeyings under loss, with collisions of both sides' rekeyings: there is always a pair to send on
// (see world.settle), and no packet comes on a pair that its receiver does not have.
func TestRekeyUnderLoss(t *testing.T) {
	collisions := 0
	for seed := range uint64(12) {
		w := newWorld(t, seed, onDemand(5*time.Minute))
		w.sides[seed%2].pol.Acquire(selector.Flow{}, 0)
		w.run(5 * time.Second)
		w.loss = 0.5
		for range 8 {
			w.run(time.Duration(w.rand.Int64N(int64(10 * time.Minute))))
			for _, s := range w.sides {
				s.pol.Rekey(1)
			}
		}
		w.loss = 0
		w.run(10 * time.Minute)
		// A pair and its successor may be there, and one that both asked for.
		for _, s := range w.sides {
			if n := len(s.pol.Pairs()); n == 0 || n > 3 || s.lost > 0 {
				t.Errorf("seed %d: %s has %d pairs, and got %d packets on others", seed, s.name, n, s.lost)
			}
			if s.pol.Rekeys() < 8 || s.count("child-down") > 0 {
				t.Errorf("seed %d: %s rekeyed %d times, went down %d times", seed, s.name, s.pol.Rekeys(), s.count("child-down"))
			}
		}
		collisions += w.sides[0].collisions + w.sides[1].collisions
	}
	if collisions < 50 {
		t.Errorf("the sides' rekeyings collided only %d times", collisions)
	}
}

// A pair that cannot be rekeyed ends at its hard lifetime, on both sides, and nothing is sent on it
// any more. A policy that should always be up comes back.
func TestHardLifetime(t *testing.T) {
	settings := boot
	settings.Lifetime = 100 * time.Second
	w := newWorld(t, 3, settings)
	w.run(10 * time.Second)
	w.wantUp(1)
	w.loss = 1
	w.run(99 * time.Second) // 109 s: within 110 s of its installation
	w.wantUp(1)
	w.run(2 * time.Second)
	for _, s := range w.sides {
		if len(s.installed) != 0 || len(s.sends) != 0 || s.count("child-down") != 1 || !s.pol.Wanted() {
			t.Fatalf("%s: %d installed, sends on %v, %v", s.name, len(s.installed), s.sends, s.reports)
		}
		s.lost = 0
	}
	w.loss = 0
	w.run(10 * time.Second)
	for _, s := range w.sides {
		if !s.pol.Up() || s.lost > 0 {
			t.Errorf("%s is up: %v, got %d packets on no pair", s.name, s.pol.Up(), s.lost)
		}
	}
}
