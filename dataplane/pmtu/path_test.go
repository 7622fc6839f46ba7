package pmtu

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Answers with an unknown ID or size, and late ones, prove nothing about another size.
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
	if l.path.Answer(l.now, first[1]) {
		t.Error("an answer after the end of its round changed the MTU")
	}
	l.wantMTU(1400)
}

// A new SA on a path whose MTU is confirmed starts no round, now or later.
func TestNewSAOnConfirmedPath(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.advance(time.Hour)
	l.wantSent(576, 1500)
	l.path.Restart(l.now)
	l.advance(time.Hour)
	l.wantSent()
}

// The wait for answers is three round-trip times, smoothed by an eighth of each new one.
func TestTimerFollowsTheRoundTripTime(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.rtt = 900 * time.Millisecond
	l.wantTimer(minTimer) // nothing is measured
	l.rtt = 100 * time.Millisecond
	l.wantTimer(2700 * time.Millisecond)
	l.wantTimer(2137500 * time.Microsecond) // the round had two answers: 900 ms, 800 ms, 712.5 ms
}

// An answer to a size that was sent twice measures nothing: it may be that to the first try.
func TestTimerIgnoresRepeatedProbes(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.rtt = 1800 * time.Millisecond
	l.wantTimer(minTimer)
	l.wantTimer(minTimer)
}

// A peer that has answered before counts as one that never does after eight silent rounds.
func TestSilentPeerIsForgotten(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.advance(time.Minute)
	l.log, l.deaf = nil, true
	asked := false
	for !asked && len(l.log) < 100 {
		l.use(time.Second)
		_, asked = l.path.Ask(l.now)
	}
	if got, want := len(l.log), 8*2*maxTries; !asked || got != want {
		t.Errorf("after %d probes: asked %v, want it after %d", got, asked, want)
	}
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

func TestTooBigOnAJumboPath(t *testing.T) {
	l := newLink(t, Limits{Floor: 576, Ceil: 65535}, 65535)
	l.path.TooBig(l.now, 40000)
	l.wantMTU(40000)
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

// TestLimitsAsBefore: limits that do not change leave the round under way alone, and each of the
// two counts.
func TestLimitsAsBefore(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.step()
	l.path.SetLimits(l.now, ethernet)
	if l.path.round == nil {
		t.Error("the same limits ended the round")
	}
	l.advance(time.Second)
	l.path.TooBig(l.now, 1000)
	l.path.SetLimits(l.now, Limits{Floor: 1280, Ceil: 1500})
	l.wantMTU(1280)
	l.path.SetLimits(l.now, Limits{Floor: 1280, Ceil: 1270})
	l.wantMTU(1270)
}

// TestNewSAAfterAnOutage: a new SA is traffic: a peer is probed again that answered before, and
// then was silent while a larger size was tried.
func TestNewSAAfterAnOutage(t *testing.T) {
	l := newLink(t, ethernet, 1300)
	l.advance(time.Minute)
	l.deaf = true
	l.advance(raiseAfter)
	l.path.Used(true)
	l.advance(time.Minute) // without more traffic, there is one round
	if l.path.mute != 1 || l.path.low < 1300 || l.path.round != nil {
		t.Fatalf("%d silent rounds, %d passes", l.path.mute, l.path.low)
	}
	l.deaf, l.log = false, nil
	l.path.Restart(l.now)
	l.advance(confirmLight)
	l.wantSent(576, 1300)
}

// In any order of events the MTU stays within the limits and the path comes to rest.
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
		// Undisturbed, it finds the path's MTU.
		l.deaf, l.lose = false, nil
		l.mtu = lim.Floor + rng.IntN(lim.Ceil-lim.Floor+1)
		l.use(35 * time.Minute)
		if got := l.path.MTU(); got > l.mtu || l.mtu-got >= grain {
			t.Fatalf("seed %d: path of %d in %+v: MTU %d", seed, l.mtu, lim, got)
		}
	}
}

// A silent peer is probed less and less often: one that has answered before at least each minute,
// until it counts as one that never does, and then each ten minutes.
func TestSilentPeerIsProbedLessOften(t *testing.T) {
	for answered, pauses := range map[bool][]time.Duration{
		false: {10, 20, 40, 80, 160, 320, 600, 600, 600},
		true:  {10, 20, 40, 60, 60, 60, 60, 600, 600},
	} {
		l := newLink(t, ethernet, 1500)
		if l.deaf = !answered; answered {
			l.advance(time.Minute)
		}
		l.deaf = true
		for i, want := range pauses {
			for rounds := l.path.mute; l.path.mute == rounds; {
				l.use(time.Second)
			}
			if got := time.Duration(l.path.startAt - l.path.ended); got != want*time.Second {
				t.Errorf("answered before: %v: %v after silent round %d, want %v", answered, got, i+1, want*time.Second)
			}
		}
	}
}

// A claim of ICMP about a silent peer's path does not make its probes due earlier.
func TestTooBigLeavesSilentPeerAlone(t *testing.T) {
	l := newLink(t, ethernet, 1500)
	l.deaf = true
	l.advance(5 * time.Second)
	l.log = nil
	l.path.Used(true)
	l.path.TooBig(l.now, 1400)
	l.advance(time.Second)
	l.wantSent()
	l.advance(10 * time.Second)
	l.wantSent(576, 1400, 576, 1400, 576, 1400)
}
