package pmtu

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestAssumedSizeIsConfirmed(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.wantMTU(1500)
	l.advance(time.Hour)
	l.wantSent(576, 1500) // and nothing more without traffic
	l.wantMTU(1500)
	l.path.Used(false)
	l.advance(30 * time.Second)
	l.wantSent(576, 1500) // it was long ago
	l.path.Used(false)
	l.advance(29 * time.Second)
	l.wantSent()
	l.advance(2 * time.Second)
	l.wantSent(576, 1500)
	l.path.Used(true)
	l.advance(5 * time.Second)
	l.wantSent(576, 1500)
}

// On any path an MTU that passes is in force after four seconds, and then the largest.
func TestBlackHole(t *testing.T) {
	for _, ceil := range []int{1280, 1500, 9000, 65535} {
		for mtu := 576; mtu <= ceil; mtu += 1 + (ceil-576)/200 {
			l := newLink(t, Limits{Floor: 576, Ceil: ceil}, mtu)
			l.advance(4 * time.Second)
			if got := l.path.MTU(); got > mtu {
				t.Fatalf("path of %d: MTU %d after 4 s", mtu, got)
			}
			l.advance(30 * time.Second)
			if got := l.path.MTU(); got > mtu || mtu-got >= grain {
				t.Fatalf("ceiling %d, path of %d: found %d", ceil, mtu, got)
			}
			if len(l.sent) > 200 {
				t.Fatalf("ceiling %d, path of %d: %d probes", ceil, mtu, len(l.sent))
			}
		}
	}
}

// A common path MTU needs no refinement before it is in force.
func TestUsualSizeIsFoundAtOnce(t *testing.T) {
	l := newLink(t, ethernet, 1400)
	l.advance(time.Second - 1)
	l.wantSent(576, 1500)
	l.advance(1)
	l.wantSent(1006, 1280, 1340, 1380, 1400, 1420, 1440, 1454, 1480, 1492, 1500)
	l.advance(time.Second)
	l.wantSent(1420, 1440, 1454, 1480, 1492, 1500)
	l.wantMTU(1500) // three may be lost
	l.advance(time.Second)
	l.wantMTU(1400)
	l.wantSent(1420, 1440, 1454, 1480, 1492)
}

func TestPathThatNarrowsUnderTraffic(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.use(time.Minute)
	l.wantMTU(1500)
	l.mtu = 1300
	l.use(9 * time.Second)
	if got := l.path.MTU(); got > 1300 {
		t.Fatalf("MTU %d nine seconds after the path has become one of 1300", got)
	}
	l.use(10 * time.Second)
	l.wantMTU(1300)
	l.mtu = 1500
	l.use(9 * time.Minute)
	l.wantMTU(1300)
	l.use(2 * time.Minute)
	l.wantMTU(1500) // the knowledge is ten minutes old
}

func TestLossIsNoBlackHole(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := newLink(t, ethernet, 1500)
	l.lose = func(Probe) bool { return rng.IntN(100) < 5 }
	l.use(5 * time.Minute)
	l.wantMTU(1500)
	l.deaf = true // an outage
	l.use(5 * time.Minute)
	l.wantMTU(1500)
	l.deaf = false
	l.use(5 * time.Minute)
	l.wantMTU(1500)
}

func TestMutePeerIsLeftAlone(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.deaf = true
	l.advance(5 * time.Second)
	l.wantSent(576, 1500, 576, 1500, 576, 1500)
	l.advance(time.Hour)
	l.wantSent()
	l.use(time.Hour)
	if n := len(l.log); n > 6*12 {
		t.Errorf("%d probes in an hour", n)
	}
	l.wantMTU(1500)
	l.log = nil
	l.path.Restart(l.now)
	l.deaf = false
	l.advance(time.Second)
	l.wantSent(576, 1500)
}

// A size smaller than one that passes is not sent again, although its own answer was lost.
func TestLostAnswerBelowOneThatPasses(t *testing.T) {
	l := newLink(t, ethernet, 1400)
	l.lose = func(p Probe) bool { return p.Size == 1280 }
	l.advance(time.Second)
	l.log = nil
	l.advance(time.Second)
	l.wantSent(1420, 1440, 1454, 1480, 1492, 1500)
}

// A silent peer shows nothing about larger sizes: what passed is confirmed before they are probed.
func TestOutageWhileMoreIsTried(t *testing.T) {
	l := newLink(t, ethernet, 1300)
	l.advance(time.Minute)
	l.wantMTU(1300)
	l.deaf = true
	l.advance(raiseAfter)
	l.use(5 * time.Second)
	l.deaf, l.log = false, nil
	l.use(9 * time.Second)
	l.wantSent(576, 1300)
	l.wantMTU(1300)
}

// A round under way at the time to try more does not put that off for another ten minutes.
func TestRoundAtTheTimeToTryMore(t *testing.T) {
	l := newLink(t, ethernet, 1300)
	l.use(time.Minute)
	l.wantMTU(1300)
	l.mtu = 1500
	l.advance(l.path.raiseAt.time().Sub(l.now) - minTimer/2)
	l.log = nil
	l.lose = func(Probe) bool { return true }
	l.path.Used(true)
	l.advance(minTimer - 1)
	l.lose = nil
	l.advance(minTimer / 2)
	l.wantSent(576, 1300, 576, 1300)
	l.use(5 * time.Second)
	l.wantMTU(1500)
}

// The IDs of probes grow by one from the first, whatever the order of the sizes.
func TestProbesAreNumbered(t *testing.T) {
	l := newLink(t, ethernet, 1400)
	l.advance(time.Minute)
	seen := make(map[uint64]bool)
	for _, p := range l.sent {
		seen[p.ID] = true
	}
	for id := range uint64(len(seen)) {
		if !seen[id+1] {
			t.Errorf("%d IDs, but %d is not among them", len(seen), id+1)
		}
	}
}

func TestSooner(t *testing.T) {
	for _, tt := range [][3]instant{{1, 2, 1}, {2, 1, 1}, {never, 2, 2}, {2, never, 2}, {never, never, never}} {
		if got := sooner(tt[0], tt[1]); got != tt[2] {
			t.Errorf("sooner(%d, %d) = %d, want %d", tt[0], tt[1], got, tt[2])
		}
	}
}

// TestSizesBetween: the sizes of a round divide what is open evenly, at multiples of grain above
// the size that passes, and are at most seven.
func TestSizesBetween(t *testing.T) {
	for _, tt := range []struct {
		low, high int32
		want      []int
	}{
		{1400, 1420, []int{1404, 1408, 1412, 1416}},
		{1400, 1500, []int{1416, 1432, 1448, 1464, 1480, 1496}},
		{1500, 4352, []int{1860, 2220, 2580, 2940, 3300, 3660, 4020}},
		{1400, 1405, []int{1404}},
		{1400, 1404, nil},
	} {
		p := New(epoch, Limits{Floor: 576, Ceil: 9000}, 1)
		p.round = &round{}
		p.addBetween(tt.low, tt.high)
		var got []int
		for _, a := range p.round.sizes {
			got = append(got, a.Size)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("between %d and %d: %v, want %v", tt.low, tt.high, got, tt.want)
		}
	}
}
