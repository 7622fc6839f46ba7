package child

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

var boot = Settings{Name: "lan", Start: StartBoot}

// onDemand returns settings of a policy that waits for traffic.
func onDemand(life time.Duration) Settings {
	return Settings{Name: "lan", Start: StartTraffic, Lifetime: life}
}

// wantUp checks that both sides have n pairs of the policy, send on the same one, and lost nothing.
func (w *world) wantUp(n int) {
	w.t.Helper()
	for _, s := range w.sides {
		if len(s.pol.Pairs()) != n || !s.pol.Up() || len(s.sends) == 0 {
			w.t.Fatalf("%v: %s has %v, sends on %v; want %d pairs", w.now.Sub(epoch), s.name, s.pol.Pairs(), s.sends, n)
		}
		if s.lost > 0 {
			w.t.Fatalf("%v: %s got %d packets on pairs that it does not have", w.now.Sub(epoch), s.name, s.lost)
		}
	}
	l, r := w.sides[0], w.sides[1]
	if mine, theirs := l.installed[slices.Max(l.sends)], r.installed[slices.Max(r.sends)]; mine.SPIOut != theirs.SPIIn || mine.SPIIn != theirs.SPIOut {
		w.t.Fatalf("%v: left sends on %08x, right on %08x", w.now.Sub(epoch), mine.SPIOut, theirs.SPIIn)
	}
}

// count returns how often a side reported an event.
func (s *side) count(event string) (n int) {
	for _, e := range s.reports {
		if e == event {
			n++
		}
	}
	return n
}

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

// Rekeyings under loss, with collisions of both sides' rekeyings: there is always a pair to send on
// (see world.settle), and no packet comes on a pair that its receiver does not have.
func TestRekeyUnderLoss(t *testing.T) {
	collisions := 0
	for seed := range uint64(12) {
		w := newWorld(t, seed, onDemand(5*time.Minute))
		w.sides[seed%2].pol.Acquire(selector.Flow{}, 0)
		w.run(5 * time.Second)
		w.loss = 0.5
		for range 8 {
			w.run(time.Duration(w.rand.Int64N(int64(10 * time.Minute))))
			for _, s := range w.sides {
				s.pol.Rekey(1)
			}
		}
		w.loss = 0
		w.run(10 * time.Minute)
		// A pair and its successor may be there, and one that both asked for.
		for _, s := range w.sides {
			if n := len(s.pol.Pairs()); n == 0 || n > 3 || s.lost > 0 {
				t.Errorf("seed %d: %s has %d pairs, and got %d packets on others", seed, s.name, n, s.lost)
			}
			if s.pol.Rekeys() < 8 || s.count("child-down") > 0 {
				t.Errorf("seed %d: %s rekeyed %d times, went down %d times", seed, s.name, s.pol.Rekeys(), s.count("child-down"))
			}
		}
		collisions += w.sides[0].collisions + w.sides[1].collisions
	}
	if collisions < 50 {
		t.Errorf("the sides' rekeyings collided only %d times", collisions)
	}
}

// Where deletions are lost, the side that did not rekey deletes the old pair itself.
func TestLostDeletion(t *testing.T) {
	w := newWorld(t, 1, onDemand(10*time.Minute))
	w.sides[0].pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	w.mute = true
	old := w.sides[1].pol.Best()
	w.sides[0].pol.Rekey(1)
	w.run(time.Second)
	if old.State() != Replaced || old.Next() != w.sides[1].pol.Best() {
		t.Fatalf("the old pair is %v, replaced by %v", old.State(), old.Next())
	}
	w.run(replacedLife - 2*time.Second)
	if old.State() != Replaced {
		t.Fatalf("the old pair is %v before its time", old.State())
	}
	w.run(2 * time.Second)
	if old.State() != Lingering {
		t.Fatalf("the old pair is %v, want lingering", old.State())
	}
	w.run(lingerPair)
	if old.State() != Gone || len(w.sides[1].installed) != 1 {
		t.Fatalf("the old pair is %v, %d are installed", old.State(), len(w.sides[1].installed))
	}
	w.wantUp(1)
}

// A pair that cannot be rekeyed ends at its hard lifetime, on both sides, and nothing is sent on it
// any more. A policy that should always be up comes back.
func TestHardLifetime(t *testing.T) {
	settings := boot
	settings.Lifetime = 100 * time.Second
	w := newWorld(t, 3, settings)
	w.run(10 * time.Second)
	w.wantUp(1)
	w.loss = 1
	w.run(99 * time.Second) // 109 s: within 110 s of its installation
	w.wantUp(1)
	w.run(2 * time.Second)
	for _, s := range w.sides {
		if len(s.installed) != 0 || len(s.sends) != 0 || s.count("child-down") != 1 || !s.pol.Wanted() {
			t.Fatalf("%s: %d installed, sends on %v, %v", s.name, len(s.installed), s.sends, s.reports)
		}
		s.lost = 0
	}
	w.loss = 0
	w.run(10 * time.Second)
	for _, s := range w.sides {
		if !s.pol.Up() || s.lost > 0 {
			t.Errorf("%s is up: %v, got %d packets on no pair", s.name, s.pol.Up(), s.lost)
		}
	}
}

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
		{StartNever, EndDead, IntentTraffic, false, IntentDown, false},
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

// The pairs pass to the carrier's successor, which rekeys them.
func TestHandOver(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	w.sides[1].pol.Acquire(selector.Flow{}, 0)
	w.run(5 * time.Second)
	was := [2]*quickSA{w.sides[0].sa, w.sides[1].sa}
	w.connect()
	for i, s := range w.sides {
		active := slices.Clone(s.sends)
		was[i].bundle.HandOver(s.sa)
		was[i].end(EndReplaced)
		if p := s.pol.Best(); p == nil || p.Carrier() != s.sa || s.sa.bundle.Of(s.pol) != p || !slices.Equal(active, s.sends) || len(was[i].bundle.Pairs()) != 0 {
			t.Fatalf("%s: %v is carried by %v", s.name, p, p.Carrier())
		}
	}
	w.sides[0].pol.Rekey(9)
	w.run(10 * time.Second)
	if err, ok := w.sides[0].done[9]; !ok || err != nil {
		t.Errorf("the command was answered: %v, with %v", ok, err)
	}
	w.wantUp(1)
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

// A command to stop, then to start.
func TestStopAndStart(t *testing.T) {
	w := newWorld(t, 1, boot)
	w.run(5 * time.Second)
	l := w.sides[0]
	l.pol.Stop()
	w.sides[1].pol.Stop() // the other side does not bring it up either
	ended := l.pol.DeleteAll("for the test")
	w.run(time.Second)
	if !ended() || l.pol.Up() || l.pol.Wanted() || w.sides[1].count("child-down") != 1 {
		t.Fatalf("ended %v, up %v, wanted %v", ended(), l.pol.Up(), l.pol.Wanted())
	}
	w.run(time.Minute)
	if l.pol.Up() {
		t.Fatal("it came back")
	}
	l.pol.Start()
	l.Touch()
	w.run(10 * time.Second)
	if !l.pol.Up() {
		t.Fatal("it did not come up")
	}
}

// further installs a pair for a single worker beside the main one.
func (s *side) further(l *Chain) *Pair {
	s.lastSPI++
	p := s.table.Install(s.sa, l, Agreement{SA: s.sa.keys(s.lastSPI, s.lastSPI|1<<24), Origin: &origin{}, Creator: true, Further: true, Grouped: true})
	p.UseNow()
	return p
}

// Pairs for single workers: each new one is for the worker that has the fewest, and they take over
// when the pair for all workers ends.
func TestFurtherChains(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.workers = 3
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Second)
	var resources []int
	var pairs []*Pair
	for range 4 {
		p := l.further(l.pol.FreeChain())
		pairs, resources = append(pairs, p), append(resources, p.SA.Resource)
		if p.Chain().IsMain() || !p.SA.PerResource || !p.Grouped() {
			t.Fatalf("%v is for all workers", p)
		}
	}
	if !slices.Equal(resources, []int{1, 2, 3, 1}) {
		t.Errorf("the new pairs are for the workers %v", resources)
	}
	main := l.pol.Main().Best()
	main.Lost(EndPeer, "for the test")
	if !l.pol.Up() || l.pol.Main().Best() != pairs[0] || !pairs[0].Chain().IsMain() || len(l.pol.Further()) != 3 || main.State() != Lingering {
		t.Errorf("the main chain has %v, beside %d others; the old pair is %v", l.pol.Main().Pairs(), len(l.pol.Further()), main.State())
	}
	for _, p := range slices.Backward(pairs) {
		p.Lost(EndPeer, "for the test")
	}
	if l.pol.Up() || len(l.installed) != 0 || l.count("child-down") != 1 || l.count("resource-down") != 3 {
		t.Errorf("up %v, %d installed, reports %v", l.pol.Up(), len(l.installed), l.reports)
	}
}

// A peer that makes and deletes pairs without end does not fill the memory.
func TestLingeringPairsAreBounded(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Second)
	for range 5 * maxLingering {
		l.sa.asked(w.rand.Uint64(), uint32(w.rand.Uint64()))
		l.pol.Main().Pairs()[0].Lost(EndPeer, "for the test")
	}
	if n := l.table.Len(); n != maxLingering+1 {
		t.Errorf("%d pairs, want one in use and %d that linger", n, maxLingering)
	}
	w.now = w.now.Add(lingerPair)
	for range 5 {
		l.timers.FireDue(w.now)
	}
	if n := l.table.Len(); n != 1 {
		t.Errorf("%d pairs after %v, want 1", n, lingerPair)
	}
}

// At the end of the engine everything leaves the dataplane.
func TestRemoveAll(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Second)
	p := l.pol.Best()
	if l.table.Carried(p.SA.ID) != p || l.table.Pair(p.SA.ID) != p || l.table.Carried(ipsec.ChildID(77)) != nil {
		t.Error("the table does not find the pair")
	}
	l.pol.Rekey(1)
	w.run(time.Second)
	if l.table.Carried(p.SA.ID) != nil || l.table.Pair(p.SA.ID) != p {
		t.Error("a pair that lingers is carried")
	}
	l.table.RemoveAll()
	if len(l.installed) != 0 || l.table.Len() != 0 {
		t.Errorf("%d installed, %d in the table", len(l.installed), l.table.Len())
	}
}
