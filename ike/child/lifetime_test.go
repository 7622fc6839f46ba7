package child

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// TestRekeyMargin: the creator rekeys at 90 to 97% of the lifetime, the other side at 98 to 100%.
func TestRekeyMargin(t *testing.T) {
	zeros, broken := bytes.NewReader(make([]byte, 16)), iotest.ErrReader(io.EOF)
	for _, tt := range []struct {
		rand    io.Reader
		creator bool
		want    time.Duration
	}{
		{zeros, true, 97 * time.Second},
		{broken, true, 90 * time.Second}, // without randomness it is the most that may be taken off
		{zeros, false, 100 * time.Second},
		{broken, false, 98 * time.Second},
	} {
		if got := RekeyMargin(100*time.Second, tt.creator, tt.rand); got != tt.want {
			t.Errorf("by its creator %v: %v, want %v", tt.creator, got, tt.want)
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

// The creator rekeys at 90 to 97% of the lifetime, the other side at 98 to 100%; a tenth later the
// pair ends. Without a lifetime neither happens.
func TestSchedule(t *testing.T) {
	for _, creator := range []bool{true, false} {
		s := newStand(t, onDemand(100*time.Second))
		p := s.install(s.pol.Main(), creator, func(a *Agreement) { a.Origin = &fakeOrigin{proven: true} })
		soft := 97 * time.Second
		if !creator {
			soft = 100 * time.Second
		}
		if got := p.RekeyAt().Sub(s.now); got != soft {
			t.Fatalf("by its creator %v: rekeyed after %v", creator, got)
		}
		s.pass(soft - 1)
		s.wantRekeyed("before its time")
		s.pass(1)
		s.wantRekeyed("in time", p)
		s.pass(110*time.Second - soft - 1)
		s.wantDeleted("before its end")
		s.pass(1)
		s.wantDeleted("at its end", "1: its lifetime has expired")
	}
	s := newStand(t, onDemand(0))
	p := s.ours()
	s.pass(1000 * time.Hour)
	s.wantRekeyed("without a lifetime")
	s.wantDeleted("without a lifetime")
	if !p.RekeyAt().IsZero() {
		t.Errorf("rekeyed at %v", p.RekeyAt())
	}
}

// One rekeying at a time, of a pair in use, on a carrier that can do it, once the peer has the
// pair.
func TestExpiring(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *stand, p *Pair)
		want   bool
	}{
		"in use":                   {func(*stand, *Pair) {}, true},
		"it has ended":             {func(_ *stand, p *Pair) { p.Lost(EndPeer, "") }, false},
		"it is replaced":           {func(_ *stand, p *Pair) { p.moveTo(Replaced) }, false},
		"it is being deleted":      {func(_ *stand, p *Pair) { p.moveTo(Deleting) }, false},
		"it is being rekeyed":      {func(_ *stand, p *Pair) { p.renewal = renewalBegun }, false},
		"the dataplane is asked":   {func(_ *stand, p *Pair) { p.renewal = renewalInQuestion }, true},
		"the carrier is not ready": {func(s *stand, _ *Pair) { s.sa.established = false }, false},
		"the peer may not have it": {func(_ *stand, p *Pair) { p.creator = false }, false},
		"the peer surely has it":   {func(s *stand, p *Pair) { p.creator, p.seen.In = false, s.now }, true},
		"a worker's, not for all":  {func(s *stand, p *Pair) { p.chain = &Chain{policy: s.pol, resource: 1} }, true},
		"the carrier is ending":    {func(s *stand, p *Pair) { s.sa.established, s.sa.ending = false, true }, false},
	} {
		s := newStand(t, onDemand(0))
		p := s.ours()
		tt.change(s, p)
		worker := !p.chain.IsMain()
		p.Expiring()
		if got := len(s.sa.rekeyed) == 1; got != tt.want {
			t.Errorf("%s: rekeyed %v", name, s.sa.rekeyed)
		}
		if p.renewal == renewalInQuestion || tt.want && !p.Rekeying() {
			t.Errorf("%s: the renewal is %d", name, p.renewal)
		}
		if got := s.pol.Busy(); got != (tt.want && !worker) {
			t.Errorf("%s: the policy is busy: %v", name, got)
		}
	}
}

// A rekeying of what the peer may not have yet comes soon after the peer has it.
func TestExpiringWaitsForThePeer(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.install(s.pol.Main(), false, nil)
	p.Expiring()
	s.pass(timer.TemporaryPause)
	s.wantRekeyed("the peer has shown nothing")
	p.Saw(ipsec.Traffic{In: s.now})
	s.pass(timer.TemporaryPause - 1)
	s.wantRekeyed("a packet came, and the pause is not over")
	s.pass(1)
	s.wantRekeyed("after the pause", p)
	p.Expiring()
	s.wantRekeyed("it is under way")
	p.RekeyEnded()
	p.Expiring()
	s.wantRekeyed("it has ended", p)
}

// The next try of a rekeying, and one that is brought forward: never later than planned, and not
// for a pair that is not in use.
func TestRekeyInAndHasten(t *testing.T) {
	s := newStand(t, onDemand(100*time.Second))
	p := s.ours()
	p.Hasten(97 * time.Second)
	p.Hasten(98 * time.Second)
	if got := p.RekeyAt().Sub(s.now); got != 97*time.Second {
		t.Fatalf("rekeyed after %v", got)
	}
	p.Hasten(20 * time.Second)
	if got := p.RekeyAt().Sub(s.now); got != 20*time.Second {
		t.Fatalf("rekeyed after %v", got)
	}
	s.pass(20*time.Second - 1)
	s.wantRekeyed("before")
	s.pass(1)
	s.wantRekeyed("at the time", p)
	p.dates.rekeyAt = s.now.Add(time.Minute)
	p.Hasten(time.Second) // it is under way
	p.RekeyEnded()
	s.pass(30 * time.Second)
	s.wantRekeyed("it was under way")
	p.RekeyIn(5 * time.Second)
	s.pass(5 * time.Second)
	s.wantRekeyed("the next try", p)
	p.RekeyEnded()
	planned := p.RekeyAt()
	p.moveTo(Deleting)
	p.Hasten(time.Nanosecond)
	if p.RekeyAt() != planned || p.Refused() != 1 || p.Refused() != 2 {
		t.Errorf("planned for %v, before %v", p.RekeyAt(), planned)
	}
	p.Lost(EndPeer, "")
	p.Hasten(time.Nanosecond)
	if p.RekeyAt() != planned {
		t.Error("what has ended is rekeyed")
	}
}

// A pair for a worker whose lifetime ends is rekeyed if it has carried something, in either
// direction, or if the dataplane does not answer; otherwise it is deleted.
func TestWorkersPairIsRekeyedIfUsed(t *testing.T) {
	for name, tt := range map[string]struct {
		answer        bool
		in, out, want bool
	}{
		"it has received":    {answer: true, in: true, want: true},
		"it has sent":        {answer: true, out: true, want: true},
		"it was never used":  {answer: true},
		"there is no answer": {want: true},
	} {
		s := newStand(t, onDemand(100*time.Second))
		s.ours()
		p := s.own(1, true)
		s.plane = nil
		p.softDue()
		s.wantPlane(name, "ask 2")
		s.wantRekeyed(name + ", before the answer")
		if tt.answer {
			var seen ipsec.Traffic
			if tt.in {
				seen.In = s.now
			}
			if tt.out {
				seen.Out = s.now
			}
			p.Saw(seen)
			p.Saw(seen) // once
		} else {
			s.pass(timer.TemporaryPause)
		}
		if tt.want {
			s.wantRekeyed(name, p)
			s.wantDeleted(name)
		} else {
			s.wantRekeyed(name)
			s.wantDeleted(name, "2: it was not used")
		}
	}
}

// What decides while the dataplane is asked: a command rekeys the pair at once, and the answer does
// not delete it then; and a pair that has become that of all workers is rekeyed.
func TestRenewalInQuestion(t *testing.T) {
	s := newStand(t, onDemand(0))
	s.workers = 2
	main, p := s.ours(), s.own(1, true)
	p.softDue()
	s.pol.Rekey(1)
	s.wantRekeyed("the command", main, p)
	p.Saw(ipsec.Traffic{})
	s.wantDeleted("the answer came late")
	if !p.Rekeying() {
		t.Error("the rekeying is forgotten")
	}

	s = newStand(t, onDemand(0))
	main, p = s.ours(), s.own(1, true)
	p.softDue()
	main.Lost(EndPeer, "")
	p.Saw(ipsec.Traffic{})
	s.wantRekeyed("it is for all workers now", p)

	s = newStand(t, onDemand(0))
	s.ours()
	p = s.own(1, true)
	p.softDue()
	p.Replaced(s.own(1, false))
	p.Saw(ipsec.Traffic{})
	s.wantRekeyed("it is replaced meanwhile")
	s.wantDeleted("it is replaced meanwhile")

	s = newStand(t, onDemand(0))
	s.plane = nil
	p = s.ours()
	p.softDue()
	s.wantPlane("the main pair is not asked about", "install 1, send 1")
	s.wantRekeyed("the main pair", p)
}

// A pair that the peer may not have yet is deleted once the peer has it, at the latest after
// provenLimit. Meanwhile it stays as it is.
func TestDeleteWaitsForThePeer(t *testing.T) {
	s := newStand(t, onDemand(0))
	p := s.install(s.pol.Main(), false, nil)
	p.UseSoon()
	p.Delete(EndLocal, "for the test")
	s.pass(deletePause)
	s.wantDeleted("the peer may lack it")
	if p.State() != Live {
		t.Errorf("it is %v", p.State())
	}
	p.Saw(ipsec.Traffic{In: s.now})
	s.pass(deletePause - 1)
	s.wantDeleted("a packet came")
	s.pass(1)
	s.wantDeleted("the next look", "1: for the test")

	p = s.install(s.pol.Main(), false, nil)
	p.Delete(EndLocal, "for the test")
	s.pass(provenLimit - 1)
	s.wantDeleted("just before the limit")
	s.pass(1)
	s.wantDeleted("the peer must have it", "2: for the test")
	if p.State() != Deleting {
		t.Errorf("it is %v", p.State())
	}
}

// A deletion is asked for once; not of a pair that has ended, nor on a carrier that ends. It stops
// the pair's timers and answers its commands.
func TestDelete(t *testing.T) {
	s := newStand(t, onDemand(100*time.Second))
	p := s.ours()
	s.pol.Rekey(3)
	p.RekeyEnded()
	p.Delete(EndLocal, "first")
	p.Delete(EndLocal, "second")
	s.wantDeleted("twice", "1: first")
	if err := s.done[3]; err == nil || err.Error() != "the Child SA ended: first" {
		t.Errorf("answered %v", err)
	}
	if s.timers.Len() != 0 {
		t.Errorf("%d timers run", s.timers.Len())
	}
	p.Lost(EndLocal, "first")
	p.Delete(EndLocal, "third")
	p = s.ours()
	s.sa.ending = true
	p.Delete(EndLocal, "fourth")
	s.wantDeleted("on a carrier that ends")
	if p.State() != Live {
		t.Errorf("it is %v", p.State())
	}
}

// Who is sent on after a Delete of ours: a younger pair of the chain, otherwise the pair itself
// until the peer has answered, unless a pair of another chain is sent on.
func TestDeleteMovesSending(t *testing.T) {
	s := newStand(t, onDemand(0))
	old, p := s.ours(), s.install(s.pol.Main(), false, nil)
	s.plane = nil
	old.Delete(EndLocal, "")
	s.wantPlane("a younger one is there", "send 2, stop 1")
	p.UseNow()
	s.wantPlane("it is sent on already", "")

	s = newStand(t, onDemand(0))
	old, p = s.ours(), s.ours()
	p.Delete(EndLocal, "")
	s.wantPlane("only an older one is there", "install 1, send 1, install 2, send 2")
	p.Lost(EndLocal, "")
	s.wantPlane("the peer has answered", "send 1, stop 2")
	if old.outbound != outActive || p.State() != Lingering {
		t.Errorf("the older one's outbound SA is %d; the other is %v", old.outbound, p.State())
	}

	s = newStand(t, onDemand(0))
	s.ours()
	q := s.own(1, true)
	s.plane = nil
	q.Delete(EndLocal, "")
	s.wantPlane("the main pair takes over", "stop 2")

	s = newStand(t, onDemand(0))
	p = s.ours()
	p.Delete(EndLocal, "")
	s.wantPlane("it is the only one", "install 1, send 1")
}
