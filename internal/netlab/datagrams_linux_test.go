package netlab

import (
	"context"
	"testing"
	"time"
)

func TestDatagramsCountWhatIsLost(t *testing.T) {
	a, b, w := twoHosts(t, true)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	for _, drop := range []float64{0, 0.3} {
		w.Impair(Impairment{Drop: drop})
		c := must(d.Run(t.Context(), 5000, 100, 200*time.Millisecond))(t)
		if c.Sent < 50 || c.Sent > 1000 || c.Took != 200*time.Millisecond || c.Span < c.Took {
			t.Errorf("%d datagrams sent in %v, want 1000 in 200ms, or fewer on a machine that is busy", c.Sent, c.Took)
		}
		if lost := float64(c.Sent-c.Received) / float64(c.Sent); (drop == 0) != (lost == 0) || lost > 2*drop {
			t.Errorf("of datagrams dropped with probability %v, %v were lost: %+v", drop, lost, c)
		}
	}
}

func TestDatagramsSeeReordering(t *testing.T) {
	a, b, w := twoHosts(t, true)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	w.Impair(Impairment{Delay: 0.2, MaxDelay: 5 * time.Millisecond})
	if c := must(d.Run(t.Context(), 5000, 100, 200*time.Millisecond))(t); c.Reordered == 0 || c.Received != c.Sent {
		t.Errorf("got %+v", c)
	}
}

func TestDatagramsEndWithTheContext(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Run(ctx, 1000, 64, time.Hour); err == nil {
		t.Error("no error")
	}
}
