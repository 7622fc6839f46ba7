package pmtu

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// link is a path with a virtual clock: probes larger than mtu vanish, others are answered after
// rtt.
type link struct {
	t    *testing.T
	path *Path
	now  time.Time
	mtu  int
	rtt  time.Duration
	lose func(Probe) bool // nil: nothing more is lost
	deaf bool             // the peer answers nothing
	sent []Probe
	air  []answer
	log  []int  // sizes sent since last asked
	asks func() // nil: nothing is asked
}

type answer struct {
	Probe
	at time.Time
}

var epoch = time.Unix(1_000_000, 0)

func newLink(t *testing.T, l Limits, mtu int) *link {
	p := New(epoch, l, 1)
	return &link{t: t, path: &p, now: epoch, mtu: mtu, rtt: 20 * time.Millisecond}
}

var ethernet = Limits{Floor: 576, Ceil: 1500}

// step lets the path send what is due.
func (l *link) step() {
	for _, p := range l.path.Step(l.now, nil) {
		if p.Size < int(l.path.floor) || p.Size > int(l.path.ceil) {
			l.t.Errorf("a probe of %d octets", p.Size)
		}
		l.sent, l.log = append(l.sent, p), append(l.log, p.Size)
		if p.Size <= l.mtu && !l.deaf && (l.lose == nil || !l.lose(p)) {
			l.air = append(l.air, answer{p, l.now.Add(l.rtt)})
		}
	}
	if l.asks != nil {
		l.asks()
	}
}

// advance lets time pass; deadlines and answers come in their order.
func (l *link) advance(d time.Duration) {
	l.t.Helper()
	end := l.now.Add(d)
	l.step()
	for range 10_000 {
		next, deliver := end, false
		if at := l.path.Deadline(); !at.IsZero() && at.Before(next) {
			next = at
		}
		if len(l.air) > 0 && !l.air[0].at.After(next) {
			next, deliver = l.air[0].at, true
		}
		if next.After(l.now) {
			l.now = next
		}
		if deliver {
			l.path.Answer(l.now, l.air[0].Probe)
			l.air = l.air[1:]
		}
		l.step()
		if !deliver && !l.now.Before(end) {
			return
		}
	}
	l.t.Fatalf("never at rest: %+v", l.path)
}

// wantMTU checks the MTU in force.
func (l *link) wantMTU(want int) {
	l.t.Helper()
	if got := l.path.MTU(); got != want {
		l.t.Fatalf("after %v: MTU %d, want %d", l.now.Sub(epoch), got, want)
	}
}

// wantSent checks the sizes that were sent since the last call.
func (l *link) wantSent(want ...int) {
	l.t.Helper()
	if !slices.Equal(l.log, want) {
		l.t.Fatalf("after %v: sent %v, want %v", l.now.Sub(epoch), l.log, want)
	}
	l.log = nil
}

// use makes a path carry large packets for a while.
func (l *link) use(d time.Duration) {
	l.t.Helper()
	for range d / time.Second {
		l.path.Used(true)
		l.advance(time.Second)
	}
}

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

// Whatever a path's MTU is, one that passes is in force after four seconds, and then the largest.
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

// A size that paths often have needs no refinement before it is in force.
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
	l.wantMTU(1500) // what was learnt is ten minutes old
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

// A late answer, and one to a size that was given up before, are no proof of another size.
func TestAnswersThatAreNone(t *testing.T) {
	l := newLink(t, ethernet, 0)
	l.step()
	first := slices.Clone(l.sent)
	if l.path.Answer(l.now, Probe{Size: 1500, ID: first[0].ID}) || l.path.low != 0 {
		t.Error("an ID with another's size was believed")
	}
	if l.path.Answer(l.now, Probe{Size: 1500, ID: 99}) || l.path.low != 0 {
		t.Error("an ID that was never used was believed")
	}
	l.path.TooBig(l.now, 1400)
	l.path.Answer(l.now, first[1])
	l.wantMTU(1400)
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

func TestManySAsAreOneSearch(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.deaf = true
	for range 100 {
		l.path.Restart(l.now)
		l.advance(100 * time.Millisecond)
	}
	l.wantSent(576, 1500, 576, 1500, 576, 1500)
}

func TestTooBig(t *testing.T) {
	for _, tt := range []struct {
		name     string
		told     int
		believed bool
		want     int
	}{
		{"what a router takes", 1400, true, 1400},
		{"the floor", 576, true, 576},
		{"below the floor", 575, false, 1500},
		{"one octet", 1, false, 1500},
		{"about packets of before", 1500, true, 1500},
		{"more than there is", 9000, true, 1500},
		{"an old router", 0, true, 1492},
	} {
		for _, deaf := range []bool{false, true} {
			l := newLink(t, ethernet, 1500)
			l.deaf = deaf
			l.advance(10 * time.Second)
			if got := l.path.TooBig(l.now, tt.told); got != tt.believed {
				t.Errorf("%s: believed %v", tt.name, got)
			}
			l.wantMTU(tt.want)
			l.advance(9 * time.Minute)
			l.wantMTU(tt.want)
			l.use(2 * time.Minute)
			l.wantMTU(1500)
		}
	}
}

// What ICMP said is checked: the router may not be the narrowest place.
func TestTooBigIsConfirmed(t *testing.T) {
	l := newLink(t, ethernet, 1350)
	l.path.TooBig(l.now, 1400)
	l.advance(10 * time.Second)
	if got := l.path.MTU(); got > 1350 || got < 1350-grain {
		t.Errorf("MTU %d on a path of 1350", got)
	}
}

func TestLimits(t *testing.T) {
	l := newLink(t, ethernet, 9000)
	l.advance(time.Second)
	l.path.SetLimits(l.now, Limits{Floor: 576, Ceil: 9000})
	l.wantMTU(9000) // the device's, as before
	l.advance(time.Second)
	if l.path.low != 9000 {
		t.Errorf("confirmed %d", l.path.low)
	}
	l.path.TooBig(l.now, 1400)
	l.path.SetLimits(l.now, Limits{Floor: 576, Ceil: 8000})
	l.wantMTU(1400) // the path's
	l.path.SetLimits(l.now, Limits{Floor: 576, Ceil: 1300})
	l.wantMTU(1300)
	l.path.SetLimits(l.now, Limits{Floor: 576, Ceil: 400})
	l.wantMTU(400)
	if l.path.TooBig(l.now, 399) {
		t.Error("a claim below the floor, which a small first hop has lowered, was believed")
	}
}

// Whatever comes in whatever order, the MTU stays within the limits and the path comes to rest.
func TestRandomEvents(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		l := newLink(t, ethernet, 576+rng.IntN(1000))
		l.lose = func(Probe) bool { return rng.IntN(10) == 0 }
		lim := ethernet
		for range 60 {
			switch rng.IntN(7) {
			case 0:
				l.path.TooBig(l.now, rng.IntN(2000))
			case 1:
				lim = Limits{Floor: 400 + rng.IntN(900), Ceil: 500 + rng.IntN(2000)}
				lim.Floor = min(lim.Floor, lim.Ceil)
				l.path.SetLimits(l.now, lim)
			case 2:
				l.mtu = 300 + rng.IntN(2000)
			case 3:
				l.deaf = rng.IntN(4) == 0
			case 4:
				l.path.Restart(l.now)
			default:
				l.use(time.Duration(rng.IntN(100)) * time.Second)
			}
			if m := l.path.MTU(); m < lim.Floor || m > lim.Ceil {
				t.Fatalf("seed %d: MTU %d outside %+v", seed, m, lim)
			}
		}
		// Left in peace, it finds what there is.
		l.deaf, l.lose = false, nil
		l.mtu = lim.Floor + rng.IntN(lim.Ceil-lim.Floor+1)
		l.use(35 * time.Minute)
		if got := l.path.MTU(); got > l.mtu || l.mtu-got >= grain {
			t.Fatalf("seed %d: path of %d in %+v: MTU %d", seed, l.mtu, lim, got)
		}
	}
}
