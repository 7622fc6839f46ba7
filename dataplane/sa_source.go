package dataplane

import (
	"slices"
	"time"

	"culvert/dataplane/netio"
	"culvert/dataplane/pmtu"
	"culvert/internal/ipsec"
)

// A tunnel in UDP is one flow to the network cards and the kernels on its way, and all of it comes
// to one core of each. Where both sides take it (ipsec.ChildSA.OtherPorts), a worker sends its own
// SAs from a port of its own (netio.Sourcer), once the peer has shown that packets from there
// arrive:
//
//	4500   -->  ESP
//	40123  -->  a request in a dummy packet, as large as the path allows
//	4500   <--  the answer
//	a pause in what the SA sends
//	40123  -->  ESP, and a request each second
//
// As the peer does not learn from these packets where we are, a dummy packet on an SA for all
// workers shows it, by the port of the path, several times a second.
//
// A change of the port waits for a pause: two flows may be received by two cores, and packets would
// overtake each other. Without answers the SAs return to the port of the path at once, and so they
// do, at a pause, when they were idle, since a NAT or firewall may forget the port.

// A source is the source port of one worker on one path. Plane.mu guards it.
type source struct {
	path   *path
	worker int
	place  int        // in Plane.sources
	next   *source    // of another worker on the path
	from   ipsec.Path // path.outer, from the port
	pairs  []*pair    // that may be sent from there

	proven bool
	heard  int64               // when that was last shown; UnixNano
	shown  int64               // of the first of a path: when the path was last shown
	askAt  int64               // nothing is asked before; UnixNano
	asked  [sourceTries]uint64 // IDs of requests without an answer
	tries  int                 // of asked
}

const (
	// sourceTries is how many requests in a row go without an answer before the port is taken not
	// to work. The next one follows at the first look, each silenceEvery, after sourceWait.
	sourceTries = 3
	sourceWait  = silenceEvery * 4 / 5
	// sourceEvery is how long an answer counts while the SAs are used, and sourceIdle while not. It
	// is longer with very many workers, as a peer answers answersPerSecond requests.
	sourceEvery = time.Second
	sourceIdle  = 15 * time.Second
	// sourceAgain is the pause before a port that did not work is tried again, and sourceSoon
	// before one that did and stopped: the whole path may have been interrupted.
	sourceAgain = 10 * time.Minute
	sourceSoon  = 30 * time.Second
	// sourceIDs marks IDs of these requests: those of the search for the MTU are smaller.
	sourceIDs = 1 << 63
	// maxSourceLooks bounds the sources that are looked at in silenceEvery.
	maxSourceLooks = 4096
)

// sourceOf returns the source from which a pair may be sent; nil: it has the port of its path
// alone. Plane.mu is held.
func (c *pair) sourceOf() *source {
	if !c.sa.OtherPorts || c.path == nil {
		return nil
	}
	return c.path.sourceOf(c.sa.Resource - 1)
}

// sourceOf returns the source of a worker, or nil.
func (pt *path) sourceOf(worker int) *source {
	s := pt.sources
	for s != nil && s.worker != worker {
		s = s.next
	}
	return s
}

// joinSource adds c, which has just joined its path, to the pairs of its worker's source, if there
// is one. Plane.mu is held.
func (p *Plane) joinSource(c *pair) {
	if !c.sa.OtherPorts || c.sa.Resource == 0 || c.out == nil || !p.cfg.Probe {
		return
	}
	s := c.sourceOf()
	if s == nil {
		port, ok := p.cfg.Ports[c.sa.Resource-1].(netio.Sourcer)
		if !ok {
			return
		}
		from, ok := port.Source(c.path.outer)
		if !ok {
			return
		}
		s = &source{path: c.path, worker: c.sa.Resource - 1, place: len(p.sources), from: from, next: c.path.sources}
		c.path.sources, p.sources = s, append(p.sources, s)
	}
	s.pairs = append(s.pairs, c)
}

// partSource undoes joinSource. What was posted to the worker for c has no effect any more once
// another path is set. Plane.mu is held.
func (p *Plane) partSource(c *pair) {
	s := c.sourceOf()
	if s == nil {
		return
	}
	s.pairs = slices.DeleteFunc(s.pairs, func(q *pair) bool { return q == c })
	if len(s.pairs) > 0 {
		return
	}
	last := len(p.sources) - 1
	p.sources[s.place] = p.sources[last]
	p.sources[s.place].place = s.place
	p.sources[last] = nil
	p.sources = p.sources[:last]
	for at := &s.path.sources; *at != nil; at = &(*at).next {
		if *at == s {
			*at = s.next
			return
		}
	}
}

// follow has c, which is about to be sent on, begin where the SA that it replaces is sent from, so
// that their packets stay in order. Plane.mu is held.
func (s *source) follow(p *Plane, c *pair) {
	if slices.ContainsFunc(s.pairs, func(q *pair) bool { return q != c && q.sa.Policy == c.sa.Policy && q.outer.Load() == &s.from }) {
		c.outer.Store(&s.from)
		return
	}
	if s.proven {
		p.moveAtPause(c, &s.from)
	}
}

// lookAtSources asks for proofs, and draws the conclusions from missing ones, for the next of the
// sources, as far as the budget of probes goes. since is when what was sent begins to count.
// Plane.mu is held.
func (p *Plane) lookAtSources(now time.Time, since int64) {
	for range min(len(p.sources), maxSourceLooks) {
		if p.sourceAt >= len(p.sources) {
			p.sourceAt = 0
		}
		if !p.lookAtSource(p.sources[p.sourceAt], now, since) {
			return
		}
		p.sourceAt++
	}
}

// lookAtSource looks at one. It reports false if the budget does not allow it: it is the next one
// then.
func (p *Plane) lookAtSource(s *source, now time.Time, since int64) bool {
	used := slices.ContainsFunc(s.pairs, func(c *pair) bool { return c.lastOut.Load() > since })
	switch at := now.UnixNano(); {
	case at < s.askAt:
	case s.tries == sourceTries:
		p.leaveSource(s, now, "no answer comes to what is sent from it")
	case s.tries > 0, used:
		if p.paths.budget.fill(now) > 0 {
			return false
		}
		p.askSource(s, now)
	case s.proven && at-s.heard >= int64(sourceIdle):
		s.proven = false
		for _, c := range s.pairs {
			if c.outer.Load() == &s.from {
				p.moveAtPause(c, &s.path.outer)
			}
		}
	}
	return true
}

// askSource sends the next request, for which there is a budget. Plane.mu is held.
func (p *Plane) askSource(s *source, now time.Time) {
	c := newestToSend(s.pairs)
	if c == nil {
		return
	}
	p.paths.budget.left--
	p.sourceID++
	probe := pmtu.Probe{Size: s.path.search.MTU(), ID: sourceIDs | p.sourceID}
	if p.postDummy(c, dummy{kind: dummyRequest, probe: probe}, probe.Size, &s.from) {
		s.asked[s.tries], s.askAt = probe.ID, now.Add(sourceWait).UnixNano()
		s.tries++
	}
}

// showEvery is how often a path that is in use is shown to the peer.
const showEvery = 100 * time.Millisecond

// showPaths sends a dummy packet, which nobody answers, from the port of each path whose workers
// send on SAs of their own. It is on an SA for all workers, by which the peer learns where we are:
// a NAT may have forgotten us, and by the others the peer would not learn it.
func (p *Plane) showPaths(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := now.Add(-2 * showEvery).UnixNano()
	for _, s := range p.sources[:min(len(p.sources), maxSourceLooks)] {
		for _, c := range s.pairs {
			if c.lastOut.Load() > since {
				p.showPath(s.path, c, now.UnixNano())
				break
			}
		}
	}
}

// showPath does it for one path, unless it was done just now. Plane.mu is held.
func (p *Plane) showPath(pt *path, c *pair, now int64) {
	slot := p.slots[c.sa.Policy]
	if slot == nil || now-pt.sources.shown < int64(showEvery)/2 {
		return
	}
	for _, q := range slices.Backward(slot.pairs) {
		if !q.sa.OtherPorts && q.path == pt && q.active && !q.spent.Load() {
			pt.sources.shown = now
			p.sendDummy(q, dummy{kind: dummyAnswer, probe: pmtu.Probe{ID: sourceIDs}}, 0)
			return
		}
	}
}

// sourceAnswered handles an answer that came on a pair. Plane.mu is held.
func (p *Plane) sourceAnswered(c *pair, id uint64, now time.Time) {
	s := c.path.sources
	for s != nil && !slices.Contains(s.asked[:s.tries], id) {
		s = s.next
	}
	if s == nil {
		return
	}
	s.tries, s.heard, s.askAt = 0, now.UnixNano(), now.Add(sourceEvery*time.Duration(1+len(p.workers)/32)).UnixNano()
	s.proven = true
	for _, q := range s.pairs {
		if q.outer.Load() != &s.from {
			p.moveAtPause(q, &s.from)
		}
	}
}

// leaveSource has the pairs sent from the port of the path at once, and not tried elsewhere for a
// while. Plane.mu is held.
func (p *Plane) leaveSource(s *source, now time.Time, why string) {
	pause := sourceAgain
	if s.proven {
		pause = sourceSoon
		p.tally.add(countPortLost, 1)
		p.cfg.Log.Info("a UDP source port is not used any more", "remote", s.path.outer.Remote().String(), "port", s.from.Local().Port(), "worker", s.worker, "reason", why)
	}
	s.proven, s.tries, s.askAt = false, 0, now.Add(pause).UnixNano()
	for _, c := range s.pairs {
		to := s.path.outer // another pointer: a move that was posted has no effect any more
		c.outer.Store(&to)
	}
}

// barred handles pairs whose packets a firewall of this host refused.
func (p *Plane) barred(list []*pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		if s := c.sourceOf(); s != nil && c.outer.Load() == &s.from {
			p.leaveSource(s, p.cfg.Now(), "a firewall of this host refuses what is sent from it")
		} else {
			p.events.post(ipsec.Event{Kind: ipsec.EventUnsent, ID: c.sa.ID, Policy: c.sa.Policy, Why: ipsec.ObstacleFirewall})
		}
	}
}

// sourcePort returns the source port of its own from which a pair is sent, or 0.
func (p *Plane) sourcePort(c *pair) uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := c.sourceOf(); s != nil && c.outer.Load() == &s.from {
		return s.from.Local().Port()
	}
	return 0
}
