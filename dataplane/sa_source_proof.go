package dataplane

import (
	"fmt"
	"slices"
	"time"

	"culvert/dataplane/pmtu"
	"culvert/internal/ipsec"
)

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
		p.leaveSource(s, now, ipsec.NoObstacle)
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
	id, ok := p.requestFrom(c, s.path.search.MTU(), &s.from)
	if !ok {
		return
	}
	s.asked[s.tries], s.askAt = id, now.Add(sourceWait).UnixNano()
	if s.tries++; s.tries == sourceTries {
		s.passed = false
		s.beside, _ = p.requestFrom(c, 0, &s.path.outer)
	}
}

// requestFrom sends a request of size octets, or of the least possible, on a pair by the port of a
// path. Plane.mu is held.
func (p *Plane) requestFrom(c *pair, size int, from *ipsec.Path) (id uint64, ok bool) {
	p.paths.budget.left--
	p.sourceID++
	probe := pmtu.Probe{Size: size, ID: sourceIDs | p.sourceID}
	return probe.ID, p.postDummy(c, dummy{kind: dummyRequest, probe: probe}, size, from)
}

// sourceAnswered handles an answer that came on a pair. Plane.mu is held.
func (p *Plane) sourceAnswered(c *pair, id uint64, now time.Time) {
	for s := c.path.sources; s != nil; s = s.next {
		switch {
		case slices.Contains(s.asked[:s.tries], id):
			p.proveSource(s, now)
			return
		case s.tries == sourceTries && s.beside == id:
			s.passed = true
			return
		}
	}
}

// proveSource has the pairs sent from the source port from their next pause on. Plane.mu is held.
func (p *Plane) proveSource(s *source, now time.Time) {
	s.tries, s.heard, s.askAt = 0, now.UnixNano(), now.Add(sourceEvery*time.Duration(1+len(p.workers)/32)).UnixNano()
	if !s.proven {
		s.proven, s.since, s.why = true, s.heard, ""
		s.path.toldPort = false
	}
	for _, q := range s.pairs {
		if q.outer.Load() != &s.from {
			p.moveAtPause(q, &s.from)
		}
	}
}

// leaveSource has the pairs sent from the port of the path at once, and not tried elsewhere for a
// while. why is the obstacle that is known. Plane.mu is held.
func (p *Plane) leaveSource(s *source, now time.Time, why ipsec.Obstacle) {
	s.passed = s.passed || why != ipsec.NoObstacle
	s.backOff(now)
	if s.proven {
		p.tally.add(countPortLost, 1)
	}
	s.why = "nothing that was sent to the peer lately was answered"
	if s.passed {
		s.why = blockedPort(s.from.Local().Port(), why)
	}
	if s.passed && !s.path.toldPort && len(s.pairs) > 0 {
		s.path.toldPort = true
		c := s.pairs[len(s.pairs)-1]
		p.events.post(ipsec.Event{Kind: ipsec.EventPortBlocked, ID: c.sa.ID, Policy: c.sa.Policy, Path: s.from, Why: why})
	}
	s.proven, s.passed, s.tries, s.askAt = false, false, 0, now.Add(s.pause).UnixNano()
	for _, c := range s.pairs {
		to := s.path.outer // another pointer: a move that was posted has no effect any more
		c.outer.Store(&to)
	}
}

// blockedPort says why nothing is sent from a source port.
func blockedPort(port uint16, why ipsec.Obstacle) string {
	if why != ipsec.NoObstacle {
		return fmt.Sprintf("UDP port %d is blocked: %v", port, why)
	}
	return fmt.Sprintf("UDP port %d is blocked: what is sent from it does not arrive", port)
}

// backOff sets the pause after a failure, from what is known before it.
func (s *source) backOff(now time.Time) {
	switch {
	case !s.proven && s.passed:
		s.pause = sourceAgain
	case s.proven && now.UnixNano()-s.since >= int64(sourceAgain):
		s.pause = sourceSoon
	default:
		s.pause = min(max(2*s.pause, sourceSoon), sourceAgain)
	}
}

// barred handles pairs whose packets a firewall of this host refused.
func (p *Plane) barred(list []*pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		if s := c.sourceOf(); s != nil && c.outer.Load() == &s.from {
			p.leaveSource(s, p.cfg.Now(), ipsec.ObstacleFirewall)
		} else {
			p.events.post(ipsec.Event{Kind: ipsec.EventUnsent, ID: c.sa.ID, Policy: c.sa.Policy, Why: ipsec.ObstacleFirewall})
		}
	}
}
