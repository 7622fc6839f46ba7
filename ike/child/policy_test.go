package child

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/timer"
	"culvert/selector"
)

// What becomes of a policy when its carrier ends depends on the cause and on what the owner wants.
func TestEndOfTheCarrier(t *testing.T) {
	for _, tt := range []struct {
		start    StartMode
		cause    Cause
		whenDead Intent
		wanted   bool
		base     Intent
		pause    bool
	}{
		{StartBoot, EndLocal, IntentUp, true, IntentUp, false},
		{StartBoot, EndPeer, IntentUp, true, IntentUp, true},
		{StartBoot, EndFailed, IntentUp, true, IntentUp, true},
		{StartBoot, EndDead, IntentUp, true, IntentUp, false},
		{StartBoot, EndDead, IntentTraffic, false, IntentTraffic, false},
		{StartBoot, EndDead, IntentDown, false, IntentDown, false},
		{StartTraffic, EndPeer, IntentUp, false, IntentTraffic, false},
		{StartTraffic, EndDead, IntentUp, true, IntentTraffic, false},
		{StartTraffic, EndDead, IntentTraffic, false, IntentTraffic, false},
		{StartTraffic, EndMoved, IntentTraffic, true, IntentTraffic, false},
		{StartNever, EndPeer, IntentTraffic, true, IntentUp, true},
		{StartNever, EndExpired, IntentTraffic, true, IntentUp, false},
		{StartNever, EndDead, IntentUp, true, IntentUp, false},
		{StartNever, EndDead, IntentTraffic, false, IntentDown, false},
		{StartNever, EndDead, IntentDown, false, IntentDown, false},
	} {
		w := newWorld(t, 1, Settings{Name: "lan", Start: tt.start})
		l := w.sides[0]
		l.pol.Start()
		l.Touch()
		w.settle()
		w.run(10 * time.Second)
		w.wantUp(1)
		l.whenDead = tt.whenDead
		l.sa.end(tt.cause)
		pol := l.pol
		if pol.Wanted() != tt.wanted || pol.Base() != tt.base || pol.NextTry().After(w.now) != tt.pause || pol.Up() || len(l.installed) != 0 {
			t.Errorf("%+v: wanted %v, base %d, pauses %v, up %v, %d installed", tt, pol.Wanted(), pol.Base(), pol.NextTry().After(w.now), pol.Up(), len(l.installed))
		}
		if !strings.HasPrefix(pol.Reason, "cause ") {
			t.Errorf("%+v: the reason is %q", tt, pol.Reason)
		}
		if l.failed = 0; tt.base == IntentDown {
			if pol.Acquire(selector.Flow{}, 0); l.failed != 1 {
				t.Errorf("%+v: a packet wakes the policy", tt)
			}
		}
	}
}

// When a negotiation for a policy is due.
func TestDue(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *stand)
		want   bool
	}{
		"wanted and down":        {func(*stand) {}, true},
		"not wanted":             {func(s *stand) { s.pol.want = false }, false},
		"held":                   {func(s *stand) { s.pol.Hold(); s.pol.want = true }, false},
		"under way":              {func(s *stand) { s.pol.Begin() }, false},
		"it was under way":       {func(s *stand) { s.pol.Begin(); s.pol.Settled() }, true},
		"up":                     {func(s *stand) { s.ours() }, false},
		"up, and being deleted":  {func(s *stand) { s.ours().Delete(EndLocal, "") }, true},
		"up, on an SA that ends": {func(s *stand) { s.ours(); s.sa.ending = true }, true},
		"replaced":               {func(s *stand) { s.ours().moveTo(Replaced) }, false},
		"in a pause":             {func(s *stand) { s.pol.pause(time.Second) }, false},
		"after a pause":          {func(s *stand) { s.pol.pause(time.Second); s.pass(time.Second) }, true},
		"up by a worker's alone": {func(s *stand) { s.ours().moveTo(Deleting); s.own(1, true) }, false},
	} {
		s := newStand(t, boot)
		tt.change(s)
		if got := s.pol.Due(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A pair that comes up clears what was wrong.
func TestInstalledClearsTrouble(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.pol.Acquire(selector.Flow{}, 0)
	s.pol.Failed(Trouble{Reason: "first", Explain: []string{"why"}})
	s.pol.Refused()
	if s.pol.Reason != "first" || len(s.pol.Explain) != 1 || s.pol.retry.Fails != 1 {
		t.Fatalf("%+v", s.pol.Trouble)
	}
	s.pol.Acquire(selector.Flow{}, 0)
	s.ours()
	if s.pol.Reason != "" || s.pol.Explain != nil || s.pol.retry.Fails != 0 || !s.pol.NextTry().IsZero() || s.pol.Flow() != nil || !s.pol.Wanted() || s.timers.Len() != 0 {
		t.Errorf("%+v, next try at %v, %d timers", s.pol.Trouble, s.pol.NextTry(), s.timers.Len())
	}
	if n := s.pol.Refused(); n != 1 {
		t.Errorf("%d refusals in a row", n)
	}
}

// A failure is reported, answers the packets and commands that wait, and is followed by a pause
// that grows. What should always be up is wanted further.
func TestFailed(t *testing.T) {
	for _, settings := range []Settings{boot, onDemand(0)} {
		s := newStand(t, settings)
		s.pol.Want()
		for _, pause := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
			s.pol.Begin()
			s.pol.Failed(Trouble{Reason: "for the test"})
			s.wantEvents("a failure", "child-failed")
			s.wantPlane("a failure", "drop")
			if got := s.pol.NextTry().Sub(s.now); got != pause || s.pol.Busy() {
				t.Errorf("the next try after %v, want %v; busy %v", got, pause, s.pol.Busy())
			}
			s.touched = false
			s.pass(pause)
			if !s.touched {
				t.Error("nothing happens after the pause")
			}
		}
		if want := settings.Start == StartBoot; s.pol.Wanted() != want {
			t.Errorf("wanted %v", s.pol.Wanted())
		}
		if len(s.gaveUp) != 3 || s.gaveUp[0].Error() != `child "lan": for the test` {
			t.Errorf("answered %v", s.gaveUp)
		}
	}
}

// What ended without anybody's command is tried until the peer answers.
func TestRestartGoesOn(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.ours()
	p.Lost(EndDead, "")
	s.pol.GiveUp(errTest)
	if !s.pol.Wanted() {
		t.Error("one attempt that reached nobody ends it")
	}
	s.pol.Failed(Trouble{Reason: "refused"})
	if s.pol.Wanted() {
		t.Error("a refusal does not end it")
	}
	p = s.ours()
	p.Lost(EndDead, "")
	s.ours().Lost(EndPeer, "")
	s.pol.GiveUp(errTest)
	if s.pol.Wanted() {
		t.Error("it is tried for good after it had come up")
	}
}

// What was taken down by its lifetime, and only ever comes up by command, comes up again.
func TestLostByItsLifetime(t *testing.T) {
	for name, tt := range map[string]struct {
		start StartMode
		cause Cause
		want  bool
	}{
		"by command, expired":  {StartNever, EndExpired, true},
		"by command, deleted":  {StartNever, EndPeer, false},
		"on traffic, expired":  {StartTraffic, EndExpired, false},
		"always, expired":      {StartBoot, EndExpired, true},
		"by command, restarts": {StartNever, EndRestarted, true},
		"on traffic, restarts": {StartTraffic, EndRestarted, true},
		"by command, moved":    {StartNever, EndMoved, true},
		"by command, replaced": {StartNever, EndReplaced, false},
	} {
		s := newStand(t, Settings{Name: "lan", Start: tt.start})
		s.ours().Lost(tt.cause, "for the test")
		if s.pol.Wanted() != tt.want {
			t.Errorf("%s: wanted %v", name, s.pol.Wanted())
		}
	}
}

// What a packet or a command asked for during the deletion is wanted after it.
func TestAskedForDuringTheDeletion(t *testing.T) {
	for name, tt := range map[string]struct {
		awaited, packet, unwanted, want bool
	}{
		"nobody":            {want: false},
		"a command":         {awaited: true, want: true},
		"a packet":          {packet: true, want: true},
		"it was taken down": {awaited: true, unwanted: true, want: false},
	} {
		s := newStand(t, onDemand(0))
		p := s.ours()
		s.awaited = tt.awaited
		if tt.packet {
			s.pol.remember(selector.Flow{})
		}
		if tt.unwanted {
			s.pol.want = false
		}
		p.Lost(EndLocal, "for the test")
		if s.pol.Wanted() != tt.want {
			t.Errorf("%s: wanted %v", name, s.pol.Wanted())
		}
	}
}

// After a deletion by the peer the first try comes at once, and a second one within promptInterval
// after a pause.
func TestPauseAfterLoss(t *testing.T) {
	s := newStand(t, boot)
	lose := func() time.Duration {
		s.ours().Lost(EndPeer, "for the test")
		return s.pol.NextTry().Sub(s.now)
	}
	if d := lose(); d != 0 {
		t.Errorf("the first try after %v", d)
	}
	s.pass(promptInterval - 1)
	if d := lose(); d != timer.ReconnectFirst {
		t.Errorf("soon again, the try after %v", d)
	}
	s.pass(1)
	if d := lose(); d != 0 {
		t.Errorf("later again, the try after %v", d)
	}
}

// A try after a temporary refusal, and one that is deferred: never earlier than planned, and only
// where one is due.
func TestTryInAndDefer(t *testing.T) {
	next := func(s *stand) time.Duration { return s.pol.NextTry().Sub(s.now) }
	s := newStand(t, boot)
	s.pol.TryIn(3*time.Second, Trouble{Reason: "for the test"})
	if next(s) != 3*time.Second || s.pol.Reason != "for the test" || s.pol.Due() {
		t.Errorf("the next try after %v", next(s))
	}
	s.pol.Defer(2 * time.Second)
	if next(s) != 3*time.Second {
		t.Errorf("a later one is moved to %v", next(s))
	}
	s.pol.Defer(4 * time.Second)
	if next(s) != 4*time.Second {
		t.Errorf("an earlier one is left at %v", next(s))
	}
	for name, change := range map[string]func(){
		"not wanted": func() { s.pol.want = false },
		"under way":  func() { s.pol.want = true; s.pol.Begin() },
		"up":         func() { s.pol.Settled(); s.ours(); s.pol.retry.At = s.now },
	} {
		s = newStand(t, boot)
		s.pol.retry.At = s.now
		change()
		if s.pol.Defer(time.Minute); next(s) != 0 {
			t.Errorf("%s: deferred by %v", name, next(s))
		}
	}
}

// A refusal of the peer's request is told once for each reason, while the policy is down.
func TestRefusedCall(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.pol.RefusedCall(Trouble{Reason: "first"})
	s.pol.RefusedCall(Trouble{Reason: "first", Explain: []string{"more"}})
	s.wantEvents("twice the same", "child-refused")
	if len(s.pol.Explain) != 1 {
		t.Errorf("explained by %q", s.pol.Explain)
	}
	s.pol.RefusedCall(Trouble{Reason: "second"})
	if !s.reports[0].Warn {
		t.Error("it is no warning")
	}
	s.wantEvents("another reason", "child-refused")
	s.ours()
	s.pol.RefusedCall(Trouble{Reason: "third"})
	s.wantEvents("while it is up")
	if s.pol.Reason != "" {
		t.Errorf("the reason is %q", s.pol.Reason)
	}
}

// The refusal of our request may come after the peer has made a pair itself: the policy is wanted.
func TestGivenUpWhileItIsUp(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.pol.Want()
	s.pol.GiveUp(errTest)
	if s.pol.Wanted() {
		t.Error("it is wanted without a pair")
	}
	p := s.install(s.pol.Main(), false, nil)
	s.pol.GiveUp(errTest)
	if !s.pol.Wanted() {
		t.Error("it is not wanted though it is up")
	}
	p.Lost(EndPeer, "for the test")
	s.pol.GiveUp(errTest)
	if s.pol.Wanted() {
		t.Error("it is wanted after the end of its pair")
	}
}

// The pair that is sent on is the old one until the peer is known to have its replacement.
func TestSender(t *testing.T) {
	s := newStand(t, onDemand(0))
	if s.pol.Sender() != nil || s.pol.Sends() {
		t.Error("a policy without a pair sends")
	}
	old := s.ours()
	next := s.install(s.pol.Main(), false, nil)
	old.Replaced(next)
	if s.pol.Sender() != old || s.pol.Best() != next {
		t.Errorf("%v is sent on, and %v is the best", s.pol.Sender(), s.pol.Best())
	}
	old.Lost(EndPeer, "for the test")
	if s.pol.Sender() != next {
		t.Errorf("%v is sent on after the end of the old one", s.pol.Sender())
	}
	if s.sa.ending = true; s.pol.Sends() {
		t.Error("it sends on a pair of an IKE SA that is being closed")
	}
}
