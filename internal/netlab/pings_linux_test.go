package netlab

import (
	"testing"
	"time"
)

func TestPings(t *testing.T) {
	a, _, w := twoHosts(t, true)
	rtts, lost, err := a.Pings(t.Context(), left, right, 1000, 100*time.Millisecond)
	if err != nil || lost != 0 || len(rtts) < 20 || len(rtts) > 101 {
		t.Fatalf("%d replies, %d lost, %v", len(rtts), lost, err)
	}
	for _, rtt := range rtts {
		if rtt <= 0 || rtt > time.Second {
			t.Errorf("a round trip took %v", rtt)
		}
	}
	w.Impair(Impairment{Drop: 0.5})
	if rtts, lost, err = a.Pings(t.Context(), left, right, 1000, 100*time.Millisecond); err != nil || lost == 0 || len(rtts) == 0 {
		t.Errorf("%d replies, %d lost, %v; half of the requests and half of the replies are dropped", len(rtts), lost, err)
	}
}
