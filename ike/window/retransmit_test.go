package window

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"culvert/ike/wire"
)

// zeroReader reads zeros: no jitter.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// schedule plays a request that is not answered, and returns when it is sent, and, as the last
// moment, given up. A patient owner ends it after patience.
func schedule(p RetransmitPlan, patience time.Duration) []time.Duration {
	var w Window[string]
	w.Send(wire.Informational, nil)
	sent := []time.Duration{0}
	for at := time.Duration(0); w.Outstanding() != nil; {
		at += p.Pause(w.Outstanding().Repeated, zeroReader{})
		if w.Unanswered(p, at < patience) {
			sent = append(sent, at)
		} else {
			return append(sent, at)
		}
	}
	return nil
}

// TestSchedules compares when requests are sent with what the plan says.
func TestSchedules(t *testing.T) {
	ms := func(list ...int) (out []time.Duration) {
		for _, n := range list {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	const s, m = 1000, 60 * 1000
	for name, tt := range map[string]struct {
		plan     RetransmitPlan
		patience time.Duration
		want     []time.Duration // the last one is the end
	}{
		"the default":                   {RetransmitPlan{}.WithDefaults(), 0, ms(0, 1000, 2800, 6040, 11872, 22369, 41265, 75277)},
		"as much as set":                {RetransmitPlan{First: 500 * time.Millisecond, Factor: 2, Tries: 3}.WithDefaults(), 0, ms(0, 500, 1500, 3500, 7500)},
		"at a constant pace":            {RetransmitPlan{First: time.Second, Factor: 1, Tries: 2}.WithDefaults(), 0, ms(0, 1*s, 2*s, 3*s)},
		"a factor that would hurry":     {RetransmitPlan{First: 10 * time.Second, Factor: 0.5, Tries: 1}.WithDefaults(), 0, ms(0, 10*s, 28*s)},
		"only once":                     {RetransmitPlan{First: time.Second, Factor: 2}, 0, ms(0, 1*s)},
		"fewer than planned":            {RetransmitPlan{First: time.Second, Factor: 2, Tries: 6}.AtMost(2), 0, ms(0, 1*s, 3*s, 7*s)},
		"no more than planned":          {RetransmitPlan{First: time.Second, Factor: 2, Tries: 1}.AtMost(2), 0, ms(0, 1*s, 3*s)},
		"pauses have a bound":           {RetransmitPlan{First: 2 * time.Minute, Factor: 2, Tries: 3}, 0, ms(0, 2*m, 6*m, 11*m, 16*m)},
		"within a time":                 {RetransmitPlan{First: time.Second, Factor: 2, Tries: 2}.Within(3500 * time.Millisecond), 0, ms(0, 500, 1500, 3500)},
		"within more than it takes":     {RetransmitPlan{First: time.Second, Factor: 2, Tries: 2}.Within(time.Minute), 0, ms(0, 1*s, 3*s, 7*s)},
		"a mad factor":                  {RetransmitPlan{First: time.Hour, Factor: 1e300, Tries: 2}, 0, ms(0, 5*m, 10*m, 15*m)},
		"patience, with the last pause": {RetransmitPlan{First: time.Second, Factor: 2, Tries: 2}, 16 * time.Second, ms(0, 1*s, 3*s, 7*s, 11*s, 15*s, 19*s)},
		"patience that is not needed":   {RetransmitPlan{First: time.Second, Factor: 2, Tries: 2}, 4 * time.Second, ms(0, 1*s, 3*s, 7*s)},
	} {
		got := schedule(tt.plan, tt.patience)
		for i := range got {
			got[i] = got[i].Truncate(time.Millisecond)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
		for n := range tt.plan.Tries + 1 {
			if got := tt.plan.Until(n).Truncate(time.Millisecond); got != tt.want[n] {
				t.Errorf("%s: %v until retransmission %d, want %v", name, got, n, tt.want[n])
			}
		}
	}
}

// A pause is longer by up to a tenth, so that requests that were sent together are not repeated
// together.
func TestPausesAreJittered(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	p := RetransmitPlan{First: time.Second, Factor: 2, Tries: 3}
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := p.Pause(1, r)
		if d < 2*time.Second || d > 2200*time.Millisecond {
			t.Fatalf("second pause %v, want 2s to 2.2s", d)
		}
		seen[d] = true
	}
	if len(seen) < 900 {
		t.Errorf("only %d of 1000 pauses differ", len(seen))
	}
	if d := p.Pause(1, iotest.ErrReader(io.EOF)); d != 2200*time.Millisecond {
		t.Errorf("without randomness the pause is %v", d)
	}
}

// A request that is given up is not waited for, and one that is exhausted may still be answered.
func TestUnanswered(t *testing.T) {
	var w Window[string]
	p := RetransmitPlan{First: time.Second, Factor: 2, Tries: 2}
	w.Send(wire.Informational, nil)
	for n := range 2 {
		if w.Exhausted(p) || !w.Unanswered(p, false) || w.Outstanding().Repeated != n+1 {
			t.Fatalf("after %d retransmissions: %+v", n, w.Outstanding())
		}
	}
	h := header(true, 0)
	if !w.Exhausted(p) || w.Judge(h, nil) != Response {
		t.Error("the last retransmission is not waited for")
	}
	if !w.Unanswered(p, true) || w.Outstanding().Repeated != 2 || w.Judge(h, nil) != Response {
		t.Error("a patient owner does not wait")
	}
	if w.Unanswered(p, false) || w.Outstanding() != nil || w.Judge(h, nil) != Stale {
		t.Error("it is not given up")
	}
}
