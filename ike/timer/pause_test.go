package timer

import (
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"
)

// zeroReader reads zeros.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestBackoffDoublesToItsMost(t *testing.T) {
	for _, c := range []struct {
		backoff  Backoff
		failures map[int]time.Duration
	}{
		{Backoff{}, map[int]time.Duration{-1: ReconnectFirst, 0: ReconnectFirst, 1: ReconnectFirst, 2: 2 * ReconnectFirst, 5: 16 * ReconnectFirst, 6: ReconnectMax, 1 << 40: ReconnectMax}},
		{Backoff{First: time.Second}, map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 7: ReconnectMax}},
		{Backoff{Max: 3 * time.Second}, map[int]time.Duration{1: ReconnectFirst, 2: 3 * time.Second, 3: 3 * time.Second}},
		{Backoff{First: time.Hour, Max: time.Hour}, map[int]time.Duration{1: time.Hour, 2: time.Hour}},
		{Backoff{First: time.Hour, Max: time.Minute}, map[int]time.Duration{1: time.Minute}},
	} {
		for failures, want := range c.failures {
			if d := c.backoff.Pause(failures, zeroReader{}); d != want {
				t.Errorf("%+v after %d failures: %v, want %v", c.backoff, failures, d, want)
			}
		}
	}
}

func TestPausesAreSpread(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for _, c := range []struct {
		what        string
		pause       func(io.Reader) time.Duration
		least, most time.Duration
	}{
		{"Longer(1h)", func(r io.Reader) time.Duration { return Longer(time.Hour, r) }, time.Hour, 66 * time.Minute},
		{"Fraction(1h)", func(r io.Reader) time.Duration { return Fraction(time.Hour, r) }, 0, time.Hour},
		{"PromptPause", PromptPause, 0, 100 * time.Millisecond},
		{"TemporaryWait", TemporaryWait, 2 * time.Second, 3 * time.Second},
		{"IKETemporaryWait", IKETemporaryWait, 5 * time.Second, 6 * time.Second},
	} {
		lowest, highest := c.most, c.least
		for range 1000 {
			d := c.pause(r)
			if d < c.least || d > c.most {
				t.Fatalf("%s = %v, want %v to %v", c.what, d, c.least, c.most)
			}
			lowest, highest = min(lowest, d), max(highest, d)
		}
		if spread := c.most - c.least; lowest > c.least+spread/50 || highest < c.most-spread/50 {
			t.Errorf("%s is between %v and %v, want nearly %v and %v", c.what, lowest, highest, c.least, c.most)
		}
		if d := c.pause(iotest.ErrReader(io.EOF)); d != c.most {
			t.Errorf("%s without randomness = %v, want %v", c.what, d, c.most)
		}
	}
	if Longer(0, r) != 0 || Longer(-5, r) != -5 {
		t.Error("a pause of nothing is made longer")
	}
}
