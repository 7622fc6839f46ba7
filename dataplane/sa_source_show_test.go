package dataplane

import (
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

// While workers send on SAs of their own, the peer is shown where we are on the pair for all, which
// it follows; once in showEvery.
func TestSourceShowsThePath(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	for _, g := range []*gateway{s.a, s.b} {
		eventually(t, "the MTU is found", func() bool { return g.Counters()["pmtu_answers"] == g.Counters()["pmtu_probes"] })
	}
	shown := make(chan uint16, 100)
	s.a.ports[0].sending(func(o *netio.Outgoing) error {
		if len(o.Data) < 200 { // not a probe of the MTU
			shown <- o.Path.Local().Port()
		}
		o.Path = ipsec.NATPath(outerMapped, outerB) // by the new mapping of a NAT
		return nil
	})
	s.a.clock.Add(int64(time.Second))
	s.a.showPaths(s.a.cfg.Now())
	s.send(0)
	for range 3 {
		s.a.showPaths(s.a.cfg.Now())
	}
	if port := <-shown; port != 4500 {
		t.Errorf("it is shown from port %d", port)
	}
	if e := s.b.wantEvent(t, ipsec.EventPeerMoved); e.ID != 1 || e.Path.Remote() != outerMapped {
		t.Errorf("event %+v", e)
	}
	s.a.clock.Add(int64(showEvery))
	s.a.showPaths(s.a.cfg.Now())
	<-shown
	s.a.clock.Add(int64(3 * showEvery)) // nothing was sent lately
	s.a.showPaths(s.a.cfg.Now())
	eventually(t, "the worker opens its mail", func() bool { return !s.a.workers[0].mail.full.Load() && s.a.workers[0].idle.Load() })
	if n := len(shown); n > 0 {
		t.Errorf("it is shown %d times too often", n)
	}
}

// With very many sources each path is shown in its turn.
func TestEachPathIsShown(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	s.send(time.Second)
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	used, now := s.a.sources[0], s.a.cfg.Now()
	for range maxSourceLooks {
		s.a.sources = append(s.a.sources, &source{path: used.path})
	}
	last := len(s.a.sources) - 1
	s.a.sources[0], s.a.sources[last] = s.a.sources[last], used
	s.a.showAt, used.shown = 0, 0
	if s.a.showSome(now); used.shown != 0 {
		t.Error("more are looked at than the bound allows")
	}
	if s.a.showSome(now); used.shown != now.UnixNano() {
		t.Error("the last path is not shown")
	}
	s.a.sources = []*source{used}
}
