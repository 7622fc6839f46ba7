package child

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// A packet brings the policy up, also where half of the messages are lost.
func TestTrafficBringsAPolicyUp(t *testing.T) {
	for _, loss := range []float64{0, 0.5} {
		w := newWorld(t, 1, onDemand(0))
		w.loss = loss
		w.run(5 * time.Second)
		l := w.sides[0]
		if len(l.pol.Pairs()) > 0 || l.pol.Wanted() {
			t.Fatal("it came up without traffic")
		}
		l.pol.Acquire(selector.Flow{DstPort: 7}, 0)
		if f := l.pol.Flow(); f == nil || f.DstPort != 7 || !l.pol.Wanted() {
			t.Fatalf("the packet is not remembered: %v", f)
		}
		w.run(30 * time.Second)
		w.wantUp(1)
		if l.count("child-up") != 1 || w.sides[1].count("child-up") != 1 || l.pol.Flow() != nil || l.failed != 0 {
			t.Errorf("reports %v and %v; the packet still waits: %v; refused %d times", l.reports, w.sides[1].reports, l.pol.Flow(), l.failed)
		}
	}
}

// Commands to rekey are answered, whatever comes of them.
func TestRekeyCommand(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.pol.Rekey(1)
	if err := l.done[1]; err == nil || err.Error() != "child \"lan\" is not up" {
		t.Errorf("answered %v", err)
	}
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	w.loss = 1
	l.pol.Rekey(2)
	w.run(5 * time.Second)
	if _, ok := l.done[2]; ok || !l.pol.Best().Rekeying() {
		t.Fatal("it was answered before its end")
	}
	l.sa.end(EndDead)
	if err := l.done[2]; err == nil || !strings.Contains(err.Error(), "the Child SA ended") {
		t.Errorf("answered %v at the end of the pair", err)
	}
}

// A command to stop: what should always be up comes back, by our own after a pause.
func TestStopOnce(t *testing.T) {
	w := newWorld(t, 1, boot)
	w.run(5 * time.Second)
	l := w.sides[0]
	l.pol.Stop()
	ended := l.pol.DeleteAll("for the test")
	if pause := l.pol.NextTry().Sub(w.now); !l.pol.Wanted() || pause < time.Second {
		t.Fatalf("wanted %v, tried after %v", l.pol.Wanted(), pause)
	}
	w.run(10 * time.Second)
	if !ended() || w.sides[1].count("child-down") != 1 || !l.pol.Up() {
		t.Fatalf("ended %v, up %v; the other side: %v", ended(), l.pol.Up(), w.sides[1].reports)
	}
}

// A policy that is held down sends on nothing, and comes up by no packet and no start, until it is
// released.
func TestHoldAndRelease(t *testing.T) {
	w := newWorld(t, 1, boot)
	w.run(5 * time.Second)
	l, r := w.sides[0], w.sides[1]
	r.pol.Hold() // nor does the other side bring it up
	l.pol.Hold()
	if len(l.sends) > 0 {
		t.Fatalf("sends on %v", l.sends)
	}
	ended := l.pol.DeleteAll("for the test")
	w.run(time.Second)
	failed := l.failed
	l.pol.Start()
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Minute)
	if !ended() || l.pol.Up() || l.pol.Wanted() || l.pol.Due() || l.pol.Flow() != nil || l.failed != failed+1 {
		t.Fatalf("ended %v, up %v, wanted %v, due %v, packets answered %d", ended(), l.pol.Up(), l.pol.Wanted(), l.pol.Due(), l.failed-failed)
	}
	r.pol.Release()
	l.pol.Release()
	w.run(10 * time.Second)
	if !l.pol.Up() || len(l.sends) == 0 {
		t.Fatal("it did not come up")
	}
}

// What a packet without an SA brings about.
func TestAcquire(t *testing.T) {
	wide := Settings{Name: "lan", Start: StartTraffic, Local: networks("0.0.0.0/0"), Remote: networks("0.0.0.0/0")}
	flow := selector.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.0.1")}
	for name, tt := range map[string]struct {
		change        func(s *stand)
		plane         string
		waits, wanted bool
	}{
		"down":                        {func(*stand) {}, "", true, true},
		"wanted already":              {func(s *stand) { s.pol.want = true; s.pol.pause(time.Hour) }, "", true, true},
		"under way":                   {func(s *stand) { s.pol.Begin(); s.pol.pause(time.Hour) }, "", true, false},
		"held":                        {func(s *stand) { s.pol.Hold() }, "drop", false, false},
		"the owner is closed":         {func(s *stand) { s.closed = true }, "drop", false, false},
		"down until requested":        {func(s *stand) { s.pol.base = IntentDown }, "drop", false, false},
		"requested":                   {func(s *stand) { s.pol.base, s.pol.want = IntentDown, true }, "", true, true},
		"in a pause":                  {func(s *stand) { s.pol.pause(1) }, "drop", false, false},
		"after a pause":               {func(s *stand) { s.pol.pause(1); s.pass(1) }, "", true, true},
		"no carrier for a while":      {func(s *stand) { s.pausing = true }, "drop", false, false},
		"up":                          {func(s *stand) { s.install(s.pol.Main(), true, nil) }, "send 1", false, true},
		"up, asked by the peer":       {func(s *stand) { s.install(s.pol.Main(), false, nil) }, "", false, true},
		"up, asked by the peer, late": {func(s *stand) { s.install(s.pol.Main(), false, nil); s.pass(useDelay) }, "send 1", false, true},
		"up, but not for this packet": {func(s *stand) { s.up("10.3.0.0/16") }, "", false, true},
		"up, and no parts wanted":     {func(s *stand) { s.up("10.3.0.0/16"); s.pol.Settings.Narrow = NarrowPeer }, "drop", false, true},
		"up by another chain":         {func(s *stand) { s.up("10.3.0.0/16"); s.part("10.2.0.0/16") }, "send 2", false, true},
	} {
		s := newStand(t, wide)
		tt.change(s)
		s.touched = false
		s.plane = slices.DeleteFunc(s.plane, func(l string) bool { return strings.HasPrefix(l, "install") })
		s.pol.Acquire(flow, 0)
		s.wantPlane(name, tt.plane)
		if got := s.pol.Flow() != nil; got != tt.waits || s.touched != tt.waits || s.pol.Wanted() != tt.wanted {
			t.Errorf("%s: waits %v, touched %v, wanted %v", name, got, s.touched, s.pol.Wanted())
		}
	}
}

// The first of the packets that wait is kept; they are dropped when nothing will come up.
func TestWaitingPackets(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.pol.Acquire(selector.Flow{DstPort: 1}, 0)
	s.pol.Acquire(selector.Flow{DstPort: 2}, 0)
	if s.pol.Flow().DstPort != 1 {
		t.Errorf("it is the packet to port %d", s.pol.Flow().DstPort)
	}
	for name, forget := range map[string]func(){"stop": s.pol.Stop, "hold": s.pol.Hold, "close": s.pol.Close} {
		s.pol.remember(selector.Flow{})
		forget()
		s.wantPlane(name, "drop")
		forget()
		s.wantPlane(name+" again", "")
		if s.pol.Flow() != nil || s.pol.Wanted() {
			t.Errorf("%s: it waits further", name)
		}
	}
}

// Start, Stop, Hold and Release set what to do from then on.
func TestStartAndStop(t *testing.T) {
	for _, tt := range []struct {
		start   StartMode
		base    Intent
		stopped bool // wanted after Stop
	}{{StartBoot, IntentUp, true}, {StartTraffic, IntentTraffic, false}, {StartNever, IntentDown, false}} {
		s := newStand(t, Settings{Name: "lan", Start: tt.start})
		if s.pol.Wanted() != (tt.start == StartBoot) || s.pol.Base() != tt.base {
			t.Errorf("start %d: wanted %v, base %d at first", tt.start, s.pol.Wanted(), s.pol.Base())
		}
		s.pol.pause(time.Hour)
		s.pol.base = IntentTraffic
		s.pol.Start()
		if !s.pol.Wanted() || !s.pol.NextTry().IsZero() || s.pol.Base() != tt.base {
			t.Errorf("start %d: wanted %v, next try at %v, base %d", tt.start, s.pol.Wanted(), s.pol.NextTry(), s.pol.Base())
		}
		s.pol.restart, s.pol.base = true, IntentTraffic
		s.pol.pause(time.Hour)
		s.pol.Stop()
		if s.pol.Wanted() != tt.stopped || s.pol.restart || s.pol.Base() != tt.base {
			t.Errorf("start %d: wanted %v, base %d after the stop", tt.start, s.pol.Wanted(), s.pol.Base())
		}
		if d := s.pol.NextTry().Sub(s.now); tt.stopped && d != timer.ReconnectFirst || !tt.stopped && !s.pol.NextTry().IsZero() {
			t.Errorf("start %d: next try after %v", tt.start, d)
		}
		s.ours()
		s.pol.Hold()
		s.wantPlane("held", "install 1, send 1, stop 1")
		if s.pol.Wanted() || !s.pol.Held() || s.pol.restart {
			t.Errorf("start %d: wanted %v, held %v", tt.start, s.pol.Wanted(), s.pol.Held())
		}
		s.pol.pause(time.Hour)
		s.pol.base, s.touched = IntentTraffic, false
		s.pol.Release()
		if s.pol.Wanted() != (tt.start == StartBoot) || s.pol.Held() || !s.pol.NextTry().IsZero() || s.pol.Base() != tt.base || !s.touched {
			t.Errorf("start %d: wanted %v, base %d after the release", tt.start, s.pol.Wanted(), s.pol.Base())
		}
	}
}

// Other settings: another start holds at once, and takes nothing down.
func TestAdopt(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to StartMode
		wanted   bool // before
		want     bool
		base     Intent
	}{
		"to boot":            {StartNever, StartBoot, false, true, IntentUp},
		"from boot":          {StartBoot, StartNever, true, true, IntentDown},
		"to traffic":         {StartNever, StartTraffic, false, false, IntentTraffic},
		"the same, and down": {StartBoot, StartBoot, false, false, IntentTraffic},
	} {
		s := newStand(t, Settings{Name: "lan", Start: tt.from})
		s.pol.want = tt.wanted
		s.pol.base = IntentTraffic
		s.pol.Adopt(Settings{Name: "lan", Start: tt.to, Lifetime: time.Hour})
		if s.pol.Wanted() != tt.want || s.pol.Base() != tt.base || s.pol.Settings.Lifetime != time.Hour || s.pol.Settings.Start != tt.to {
			t.Errorf("%s: wanted %v, base %d", name, s.pol.Wanted(), s.pol.Base())
		}
	}
}

// A policy that is no longer configured ends, also a pair that was being negotiated.
func TestClose(t *testing.T) {
	s := newStand(t, boot)
	s.pol.pause(time.Hour)
	s.pol.restart = true
	s.pol.Close()
	if s.timers.Len() != 0 || s.pol.Wanted() || s.pol.restart {
		t.Errorf("%d timers run; wanted %v", s.timers.Len(), s.pol.Wanted())
	}
	p := s.install(s.pol.Main(), true, nil)
	s.wantDeleted("it came up late", "1: its child is no longer configured")
	if p.State() != Deleting || s.pol.Wanted() {
		t.Errorf("it is %v, wanted %v", p.State(), s.pol.Wanted())
	}
}

// Rekeying a policy is rekeying what each chain sends on; the command ends with the last one, or
// with the first error, and is answered once.
func TestRekeyOfSeveral(t *testing.T) {
	s := newStand(t, onDemand(0))
	main, own := s.ours(), s.own(1, true)
	s.own(2, true).Delete(EndLocal, "")
	s.pol.Rekey(1)
	s.wantRekeyed("all in use", main, own)
	main.Answer(nil)
	if _, ok := s.done[1]; ok || s.table.Unanswered() != 1 {
		t.Fatal("answered before its end")
	}
	own.Answer(nil)
	if err, ok := s.done[1]; !ok || err != nil || s.table.Unanswered() != 0 {
		t.Errorf("answered %v: %v, %d are left", ok, err, s.table.Unanswered())
	}
	s.pol.Rekey(2)
	s.pol.Rekey(3) // both wait for the same rekeying
	own.Answer(errTest)
	if s.done[2] != errTest || s.done[3] != errTest || s.table.Unanswered() != 2 {
		t.Errorf("answered %v and %v, %d are left", s.done[2], s.done[3], s.table.Unanswered())
	}
	main.Answer(nil)
	if s.done[2] != errTest || s.done[3] != errTest || s.table.Unanswered() != 0 {
		t.Errorf("answered %v and %v, %d are left", s.done[2], s.done[3], s.table.Unanswered())
	}
}

// What a command asked for stays up, however it is configured, from the time when it has come up
// until somebody takes it down; a first try that fails ends it.
func TestAskedByACommand(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *stand)
		want   bool
	}{
		"it has come up":              {func(s *stand) { s.ours() }, true},
		"it was up":                   {func(s *stand) { s.pol.want = false; s.ours(); s.pol.Start() }, true},
		"it has failed":               {func(s *stand) { s.pol.GiveUp(errTest); s.ours() }, false},
		"it was stopped":              {func(s *stand) { s.ours(); s.pol.Stop(); s.ours() }, false},
		"it was held":                 {func(s *stand) { s.ours(); s.pol.Hold(); s.pol.Release(); s.ours() }, false},
		"the peer is to be left dead": {func(s *stand) { s.ours(); s.whenDead = IntentDown; s.pol.Best().Lost(EndDead, ""); s.ours() }, false},
		"another one asked for it": {func(s *stand) {
			old := NewPolicy(s.table, s, 8, ipsec.PolicyName{}, s.pol.Settings)
			old.Start()
			s.pol.Stop()
			s.pol.Follow(old)
			s.ours()
		}, true},
		"another one, that is up": {func(s *stand) {
			old := NewPolicy(s.table, s, 8, ipsec.PolicyName{}, s.pol.Settings)
			old.Start()
			s.install(old.Main(), true, nil).Lost(EndLocal, "")
			s.pol.Stop()
			s.pol.Follow(old)
		}, true},
		"it is configured anew while it is up": {func(s *stand) {
			s.ours()
			s.pol.base = IntentDown
			s.pol.Adopt(s.pol.Settings)
		}, true},
		"it is configured anew while it is down": {func(s *stand) { s.pol.Adopt(s.pol.Settings); s.pol.GiveUp(errTest) }, false},
		"another one that nobody asked for": {func(s *stand) {
			s.pol.Stop()
			s.pol.Follow(NewPolicy(s.table, s, 8, ipsec.PolicyName{}, s.pol.Settings))
			s.ours()
		}, false},
	} {
		s := newStand(t, Settings{Name: "lan", Start: StartNever})
		s.pol.Start()
		tt.change(s)
		for _, p := range s.pol.Pairs() {
			p.Lost(EndPeer, "for the test")
		}
		if s.pol.Wanted() != tt.want || (s.pol.Base() == IntentUp) != tt.want {
			t.Errorf("%s: wanted %v, base %d", name, s.pol.Wanted(), s.pol.Base())
		}
	}
}
