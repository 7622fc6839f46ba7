package dataplane

import (
	"fmt"
	"slices"
	"time"

	"culvert/dataplane/netio"
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
// do, at a pause, when they were idle, since a NAT or firewall may forget the port. A request from
// the port of the path, beside the last one without an answer, tells a port that is blocked from a
// path that is interrupted.

// A source is the source port of one worker on one path. Plane.mu guards it.
type source struct {
	path   *path
	worker int
	place  int        // in Plane.sources
	next   *source    // of another worker on the path
	from   ipsec.Path // path.outer, from the port
	pairs  []*pair    // that may be sent from there

	proven bool
	since  int64               // when it was found so; UnixNano
	heard  int64               // when that was last shown; UnixNano
	shown  int64               // of the first of a path: when the path was last shown
	askAt  int64               // nothing is asked before; UnixNano
	asked  [sourceTries]uint64 // IDs of requests without an answer
	tries  int                 // of asked
	beside uint64              // ID of the request beside the last of them, from the port of the path
	passed bool                // that one was answered, or this host refuses the source port
	pause  time.Duration       // after the last failure
	why    string              // it failed; "": it did not, or was proven since
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
	// sourceAgain is the pause before a port that did not work is tried again, and sourceSoon,
	// which doubles each time, before one that did and stopped, or while nothing passes at all.
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

// sentFrom returns the source port of its own from which a pair is sent, or 0 and why it is not: ""
// if it never is.
func (p *Plane) sentFrom(c *pair) (port uint16, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := c.sourceOf()
	if s == nil {
		return 0, ""
	}
	port = s.from.Local().Port()
	switch {
	case c.outer.Load() == &s.from:
		return port, ""
	case s.why != "":
		return 0, s.why
	case s.proven:
		return 0, fmt.Sprintf("UDP port %d is used from the next pause on", port)
	}
	return 0, fmt.Sprintf("UDP port %d is tried", port)
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
