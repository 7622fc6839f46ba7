package dataplane

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

// wantPassed waits for the answer to the request beside the last one.
func (s *sourced) wantPassed() {
	s.t.Helper()
	eventually(s.t, "the request beside the last one is answered", func() bool {
		s.a.mu.Lock()
		defer s.a.mu.Unlock()
		return s.a.sources[0].passed
	})
}

// wantBlocked checks that it is reported once that the port is blocked.
func (s *sourced) wantBlocked(why ipsec.Obstacle) {
	s.t.Helper()
	if e := s.a.wantEvent(s.t, ipsec.EventPortBlocked); e.ID != 2 || e.Why != why || e.Path.Local().Port() != 40001 || e.Path.Remote() != outerB {
		s.t.Errorf("event %+v", e)
	}
	s.a.wantNoEvent(s.t)
}

// The request is as large as the path allows, and its answer leaves by the port of the path.
func TestSourceRequest(t *testing.T) {
	s := newSourced(t, nil)
	answers := make(chan uint16, 100)
	var sizes []int
	for _, p := range s.b.ports {
		p.sending(func(o *netio.Outgoing) error { answers <- o.Path.Local().Port(); return nil })
	}
	s.a.ports[1].wiretap(func(o *netio.Outgoing) {
		if o.Path.Local().Port() == 40001 {
			sizes = append(sizes, len(o.Data))
		}
	})
	s.send(0)
	eventually(t, "the MTU is found", func() bool { return s.a.Counters()["pmtu_answers"] == s.a.Counters()["pmtu_probes"] })
	s.look(silenceEvery)
	s.wantProven(true)
	s.a.ports[1].wiretap(nil)
	if len(sizes) != 1 || sizes[0]+28 > 1500 || sizes[0]+28 <= 1500-4 {
		t.Errorf("requests of %v octets", sizes)
	}
	if port := <-answers; port != 4500 {
		t.Errorf("an answer left by %d", port)
	}
}

// A port from which nothing arrives is not used, and not tried again for a while.
func TestSourceUnproven(t *testing.T) {
	s := newSourced(t, nil)
	s.lose(40001, errLost)
	s.send(0)
	for i, want := range []int{1, 2, 3, 3, 3} {
		if n := s.look(silenceEvery); n != want {
			t.Errorf("look %d: %d requests, want %d", i, n, want)
		}
		if i+1 == sourceTries {
			s.wantPassed()
		}
		s.wantPort("unproven", sourcePause, 4500)
	}
	s.a.wantCounter(t, "source_ports_lost", 0)
	s.wantBlocked(ipsec.NoObstacle)
	s.wantWhy("UDP port 40001 is blocked: what is sent from it does not arrive")
	s.lose(40001, nil)
	s.a.clock.Add(int64(sourceAgain - 5*time.Second))
	s.send(0)
	if n := s.look(silenceEvery); n != 3 {
		t.Errorf("%d requests in the pause", n)
	}
	s.send(5 * time.Second)
	s.look(silenceEvery)
	s.wantProven(true)
	s.wantWhy("UDP port 40001 is used from the next pause on")
}

// While nothing that is sent is answered, nothing is known of the port, and nobody is told that it
// is blocked. It is tried again after pauses that grow.
func TestSourceOfAnInterruptedPath(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	s.lose(40001, errLost)
	s.lose(4500, errLost)
	pause := sourceEvery
	for _, next := range []time.Duration{sourceSoon, 2 * sourceSoon, 4 * sourceSoon, 8 * sourceSoon, 16 * sourceSoon, sourceAgain, sourceAgain} {
		before := s.look(pause - time.Second)
		for range sourceTries + 1 {
			s.look(time.Second)
		}
		if n := s.look(0); n != before+sourceTries {
			t.Errorf("%d requests, want %d", n, before+sourceTries)
		}
		s.wantProven(false)
		s.wantWhy("nothing that was sent to the peer lately was answered")
		s.a.mu.Lock()
		if got := s.a.sources[0].pause; got != next {
			t.Errorf("the next try is after %v, want %v", got, next)
		}
		s.a.mu.Unlock()
		pause = next
	}
	for _, e := range s.a.Drain() {
		if e.Kind == ipsec.EventPortBlocked {
			t.Errorf("event %+v", e)
		}
	}
	s.a.wantCounter(t, "source_ports_lost", 1)
}

// A port that stops to work is left at once when that is known.
func TestSourceLost(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	s.lose(40001, errLost)
	for i := range sourceTries + 1 {
		s.wantPort("not known yet", sourcePause, 40001)
		s.look([]time.Duration{sourceEvery, silenceEvery}[min(i, 1)])
		if i+1 == sourceTries {
			s.wantPassed()
		}
	}
	s.wantProven(false)
	s.wantPort("known", 0, 4500)
	s.a.wantCounter(t, "source_ports_lost", 1)
	s.wantBlocked(ipsec.NoObstacle)
	s.lose(40001, nil)
	s.mu.Lock()
	asked := 0
	for _, port := range s.asked {
		if port == 40001 {
			asked++
		}
	}
	s.mu.Unlock()
	if n := s.look(sourceSoon - time.Second); n != asked {
		t.Errorf("%d requests, want %d: it is tried again too soon", n, asked)
	}
	s.look(time.Second)
	s.wantProven(true)
}

// What a firewall of this host refuses from a port has the port left at once; what it refuses
// anyhow is told as of any pair.
func TestSourceRefusedHere(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	s.lose(40001, unix.EPERM)
	s.wantPort("refused", sourcePause, 40001)
	eventually(t, "the port is left", func() bool { return s.a.portOf(2) == 0 })
	s.wantPort("left", 0, 4500)
	s.wantBlocked(ipsec.ObstacleFirewall)
	s.wantWhy("UDP port 40001 is blocked: a firewall of this host refuses what is sent (EPERM)")
	s.lose(4500, unix.EPERM)
	s.send(time.Second)
	if e := s.a.wantEvent(t, ipsec.EventUnsent); e.ID != 2 || e.Why != ipsec.ObstacleFirewall {
		t.Errorf("event %+v", e)
	}
}

// An idle pair returns to the port of the path, since the other may be forgotten on the way.
func TestSourceIdle(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	s.a.clock.Add(int64(sourceIdle - time.Second))
	s.a.lookForSilence(s.a.cfg.Now())
	s.wantPort("idle for a while", 0, 40001)
	s.wantProven(true)
	for range 2 { // of which the first still sees that packet
		s.a.clock.Add(int64(sourceIdle))
		s.a.lookForSilence(s.a.cfg.Now())
		eventually(t, "a request is answered", func() bool {
			s.a.mu.Lock()
			defer s.a.mu.Unlock()
			return s.a.sources[0].tries == 0
		})
	}
	s.wantProven(false)
	s.settle() // the move is watched
	s.wantPort("idle for long", sourcePause, 4500)
	s.a.wantCounter(t, "source_ports_lost", 0)
	s.look(silenceEvery)
	s.wantProven(true)
	s.send(0)
	s.wantPort("used again", sourcePause, 40001)
}

// Requests about the path, and answers, leave by the port of the path, on an SA that does as well
// if there is one: a source port may just have stopped to work.
func TestDummiesLeaveByThePortOfThePath(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	s.a.mu.Lock()
	own, all := s.a.pairs[2], s.a.pairs[1]
	if c := own.path.carrier(); c != all {
		t.Errorf("the path is asked on SA %d", c.sa.ID)
	}
	if c := s.a.answersOn(own); c != all {
		t.Errorf("answers go on SA %d", c.sa.ID)
	}
	s.a.mu.Unlock()
	s.a.RemoveSA(1)
	s.settle()
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	s.a.ProbePair(2)
	s.wantPort("traffic", sourcePause, 40001)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) != 1 || s.asked[0] != 4500 {
		t.Errorf("the request left by %v", s.asked)
	}
}

// A port that stays blocked is told once; one that has worked since is told again.
func TestBlockedPortIsToldOnce(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	fail := func(first time.Duration, want int) {
		t.Helper()
		for i := range sourceTries + 1 {
			s.look([]time.Duration{first, silenceEvery}[min(i, 1)])
			if i+1 == sourceTries {
				s.wantPassed()
			}
		}
		s.wantWhy("UDP port 40001 is blocked: what is sent from it does not arrive")
		told := 0
		for _, e := range s.a.Drain() {
			if e.Kind == ipsec.EventPortBlocked {
				told++
			}
		}
		if told != want {
			t.Errorf("it is told %d times, want %d", told, want)
		}
	}
	s.lose(40001, errLost)
	fail(sourceEvery, 1)
	fail(sourceSoon, 0)
	s.lose(40001, nil)
	s.send(sourceAgain)
	s.look(silenceEvery)
	s.wantProven(true)
	s.lose(40001, errLost)
	fail(sourceEvery, 1)
}
