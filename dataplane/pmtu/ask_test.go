package pmtu

import (
	"slices"
	"testing"
	"time"
)

// asked is a link to a peer that answers no probe but whose owner answers questions.
type asked struct {
	*link
	block int           // the sent octets are a multiple of it
	after time.Duration // the delay of the verdict on a lost size
	said  func(size int) Verdict
	sizes []int     // of all questions
	size  int       // of the open question; 0: none
	until time.Time // when it is answered
}

func newAsked(t *testing.T, l Limits, mtu int) *asked {
	a := &asked{link: newLink(t, l, mtu), after: 3 * time.Second, block: 1}
	a.deaf, a.asks = true, a.ask
	a.said = func(size int) Verdict {
		if size > a.mtu {
			return Lost
		}
		return Passed
	}
	return a
}

// ask takes a question.
func (a *asked) ask() {
	size, ok := a.path.Ask(a.now)
	if !ok {
		return
	}
	if size > int(a.path.ceil) || size > askLargest || a.size != 0 {
		a.t.Errorf("%d octets are asked of %d, while %d are", size, a.path.ceil, a.size)
	}
	a.sizes, a.size, a.until = append(a.sizes, size), size, a.now
	if a.verdict() == Lost {
		a.until = a.now.Add(a.after)
	}
}

func (a *asked) sent() int { return a.size - a.size%a.block }

// tell passes the verdict on. For an unknown outcome nothing was sent.
func (a *asked) tell(size, sent int, v Verdict) {
	if v == Unknown {
		sent = 0
	}
	old := a.path.MTU()
	if changed := a.path.Told(a.now, size, sent, v); changed != (a.path.MTU() != old) {
		a.t.Errorf("%d, verdict %d: the MTU was %d and is %d, but changed is %v", size, v, old, a.path.MTU(), changed)
	}
}

func (a *asked) verdict() Verdict { return a.said(a.sent()) }

// live lets time pass with or without traffic, and answers the questions.
func (a *asked) live(d time.Duration, traffic bool) {
	a.t.Helper()
	for end := a.now.Add(d); a.now.Before(end); {
		if traffic {
			a.path.Used(true)
		}
		a.advance(500 * time.Millisecond)
		if a.size != 0 && !a.now.Before(a.until) {
			size := a.size
			sent, v := a.sent(), a.verdict()
			a.size = 0
			a.tell(size, sent, v)
		}
	}
}

func (a *asked) wantAsked(want ...int) {
	a.t.Helper()
	if !slices.Equal(a.sizes, want) {
		a.t.Fatalf("after %v: asked %v, want %v", a.now.Sub(epoch), a.sizes, want)
	}
	a.sizes = nil
}

func TestAskedSizeThatPasses(t *testing.T) {
	a := newAsked(t, ethernet, 1500)
	a.live(2*time.Second, true)
	a.wantAsked() // it may still answer
	a.live(9*time.Minute, true)
	a.wantAsked(1500)
	a.live(2*time.Minute, true)
	a.wantAsked(1500) // once in ten minutes
	a.live(10*time.Minute, true)
	a.wantAsked(1500)
	a.live(time.Hour, false)
	a.wantAsked(1500) // for the traffic before it became idle
	a.wantMTU(1500)
	a.path.SetLimits(a.now, Limits{Floor: 576, Ceil: 9000})
	a.wantMTU(9000) // only the first hop bounds it
}

func TestIdlePathAsksNothing(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.live(time.Hour, false)
	a.wantAsked()
	a.live(time.Second, true)
	a.wantAsked(1500)
}

func TestBlackHoleIsFoundByAsking(t *testing.T) {
	for _, ceil := range []int{1280, 1500, 3000, 9000} {
		for mtu := 576; mtu <= min(ceil, askLargest-1); mtu += 1 + (ceil-576)/100 {
			a := newAsked(t, Limits{Floor: 576, Ceil: ceil}, mtu)
			a.live(12*time.Second, true)
			if got := a.path.MTU(); got > mtu && mtu >= 1400 && ceil == 1500 {
				t.Errorf("path of %d: MTU %d after 12 s", mtu, got)
			}
			a.live(90*time.Second, true)
			if got := a.path.MTU(); got > mtu || mtu-got >= grain {
				t.Fatalf("ceiling %d, path of %d: found %d by %v", ceil, mtu, got, a.sizes)
			}
			if len(a.sizes) > 16 {
				t.Errorf("ceiling %d, path of %d: asked %v", ceil, mtu, a.sizes)
			}
			a.live(8*time.Minute, true)
			if got := a.path.MTU(); got > mtu {
				t.Fatalf("path of %d: later MTU %d", mtu, got)
			}
		}
	}
}

func TestUsualSizeIsAskedSoon(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.live(8*time.Second, true)
	a.wantMTU(1280) // a size that passes, until more is known
	if !slices.Equal(a.sizes[:2], []int{1500, 1280}) {
		t.Errorf("asked %v", a.sizes)
	}
	a.live(time.Minute, true)
	a.wantMTU(1400)
	a.sizes, a.mtu = nil, 1500
	a.live(8*time.Minute, true)
	a.wantMTU(1400)
	a.wantAsked()
	a.live(2*time.Minute, true)
	a.wantAsked(1500) // it has become wider
	a.wantMTU(1500)
}

// While the path stays narrow, no larger size is in force while one is asked.
func TestAskedUpwardsIsNotAssumed(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.live(time.Minute, true)
	a.said = func(size int) Verdict {
		if got := a.path.MTU(); got != 1400 {
			t.Errorf("MTU %d while %d is asked", got, size)
		}
		if size > 1400 {
			return Lost
		}
		return Passed
	}
	a.live(30*time.Minute, true)
	a.wantMTU(1400)
}

// A cipher of blocks cannot send every size: only what was sent has passed.
func TestBlocksAreNotRoundedUp(t *testing.T) {
	for mtu := 1300; mtu <= 1500; mtu++ {
		a := newAsked(t, ethernet, mtu)
		a.block = 16
		a.live(2*time.Minute, true)
		if got := a.path.MTU(); got > mtu || mtu-got >= 16+grain {
			t.Errorf("path of %d: found %d", mtu, got)
		}
	}
}

func TestNothingIsLearnt(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.said = func(int) Verdict { return Unknown }
	a.live(time.Hour, true)
	if n := len(a.sizes); n < 8 || n > 14 {
		t.Errorf("asked %d times in an hour", n)
	}
	a.wantMTU(1500)
	a.path.TooBig(a.now, 1400)
	a.wantMTU(1400)
	a.live(12*time.Minute, true)
	a.wantMTU(1500) // the ICMP claim is old
}

// What was learnt before the questions had no verdict any more is forgotten after ten minutes,
// however many of them there were meanwhile.
func TestLearntGrowsOldWithoutVerdicts(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.live(8*time.Second, true)
	a.wantMTU(1280)
	a.said = func(int) Verdict { return Unknown }
	a.live(9*time.Minute, true)
	a.wantMTU(1280)
	a.live(2*time.Minute, true)
	a.wantMTU(1500)
}

// A question without a verdict is repeated after ten seconds, then twenty, and so on.
func TestRefusedIsAskedAgainSoon(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.said = func(int) Verdict { return Unknown }
	a.live(40*time.Second, true)
	a.wantAsked(1500, 1500, 1500)
}

func TestAnswerNobodyAskedFor(t *testing.T) {
	a := newAsked(t, ethernet, 1500)
	a.asks = nil
	if a.path.Told(a.now, 1400, 1400, Lost) {
		t.Error("nothing was asked")
	}
	for a.path.mute == 0 {
		a.now = a.now.Add(time.Second)
		a.step()
	}
	a.path.asking = &asking{used: true, at: at(a.now)}
	size, ok := a.path.Ask(a.now)
	if !ok || size != 1500 {
		t.Fatalf("asked %d, %v", size, ok)
	}
	for _, no := range [][2]int{{1400, 1400}, {1500, 1501}, {1500, 0}} {
		a.path.Told(a.now, no[0], no[1], Lost)
		if a.path.asking.size != 1500 {
			t.Errorf("%v was taken for the answer", no)
		}
	}
	a.path.SetLimits(a.now, Limits{Floor: 576, Ceil: 1450})
	a.path.Told(a.now, 1500, 1500, Passed)
	a.wantMTU(1450)
	if size, ok = a.path.Ask(a.now); !ok || size != 1450 {
		t.Errorf("after the first hop has changed: asked %d, %v", size, ok)
	}
	a.now = a.now.Add(askLimit)
	if _, ok = a.path.Ask(a.now); ok || a.path.asking.unknown != 1 {
		t.Error("a question without an answer stays open")
	}
}

// A peer that answers probes after all is asked nothing more.
func TestPeerThatAnswersIsNotAsked(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.live(time.Minute, true)
	a.wantMTU(1400)
	a.deaf = false
	a.path.Restart(a.now)
	a.live(30*time.Second, true)
	a.sizes, a.mtu = nil, 1500
	a.live(time.Hour, true)
	a.wantAsked()
	a.wantMTU(1500)
}

// The pause after questions without a verdict doubles from ten seconds to ten minutes.
func TestPauseBetweenQuestions(t *testing.T) {
	a := newAsked(t, ethernet, 1400)
	a.path.asking = &asking{searching: true}
	for i, want := range []time.Duration{10, 20, 40, 80, 160, 320, 600, 600} {
		a.path.askLater(a.now)
		if got := time.Duration(a.path.asking.at - at(a.now)); got != want*time.Second {
			t.Errorf("after %d questions without a verdict: %v, want %v", i+1, got, want*time.Second)
		}
	}
	a.path.asking.unknown = 100
	if a.path.askLater(a.now); a.path.asking.at != at(a.now).add(10*time.Minute) {
		t.Error("after very many, the pause is not ten minutes")
	}
	a.path.asking.size = 1400
	a.path.Told(a.now, 1400, 1400, Passed)
	if a.path.askLater(a.now); a.path.asking.at != at(a.now).add(10*time.Second) {
		t.Error("after a verdict, the pause is not ten seconds again")
	}
}

// Between two common sizes the question is about the middle, a multiple of grain above the lower.
func TestQuestionBetweenCommonSizes(t *testing.T) {
	a := newAsked(t, ethernet, 1410)
	for _, tt := range [][3]int32{{1400, 1420, 1408}, {1400, 1408, 1404}, {1400, 1406, 1404}, {1400, 1402, 1404}, {1400, 1401, 1404}} {
		a.path.asking = &asking{searching: true, low: tt[0], high: tt[1]}
		if got := a.path.askNext(); got != tt[2] {
			t.Errorf("between %d and %d: %d is asked, want %d", tt[0], tt[1], got, tt[2])
		}
	}
}
