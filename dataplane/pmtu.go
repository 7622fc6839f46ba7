package dataplane

import (
	"container/heap"
	"slices"
	"time"

	"culvert/dataplane/pmtu"
	"culvert/esp"
	"culvert/internal/ipsec"
)

const (
	// defaultLinkMTU is used when the MTU of the first hop is unknown: an Ethernet's.
	defaultLinkMTU = 1500
	// defaultMinMTU is the floor over IPv4 (RFC 791: every host accepts a datagram of 576 octets).
	defaultMinMTU = 576
	// refreshEvery is how often the system is asked for the MTU of each first hop, and refreshLeast
	// the least number of paths asked for at once.
	refreshEvery, refreshLeast = time.Minute, 16
	// useEvery is how often a path in use is checked: is it still, and by large packets?
	useEvery = 2 * time.Second
	// largePacket is the mean size from which a path counts as carrying large packets.
	largePacket = 512
	// probesPerSecond bounds the probes of all paths together; probeBurst is the number that may be
	// sent at once.
	probesPerSecond, probeBurst = 1000, 200
	// rememberFor is how long, and rememberMost for how many paths, the MTU is remembered while no
	// SA uses them: an IKE SA that is set up again finds it.
	rememberFor, rememberMost = 10 * time.Minute, 4096
)

// A path is the outer route of some SAs, and the state of its MTU. Plane.mu guards it. Times are
// UnixNano, 0 is never: there may be as many paths as SAs.
type path struct {
	outer  ipsec.Path
	next   *path // another path to the same address and port
	pairs  []*pair
	search pmtu.Path

	sources  *source // of the worker that came last; nil: none
	toldPort bool    // it was reported that source ports are blocked

	due     int64     // when search or use is to be checked
	checkAt int64     // when its use is to be checked; 0: nothing sent since, and a worker reports the next send
	unused  int64     // since when no SA uses it
	seen    esp.Usage // what its SAs had sent at the last check, without probes

	link   int32 // MTU of the first hop
	place  int32 // index in the heap of due paths; -1: not in it
	logged int32 // the second in which a change was last logged
}

// linkMTU returns the MTU of the first hop of a path, within the limits of IP. It may be slow.
func (p *Plane) linkMTU(outer *ipsec.Path) int {
	mtu := 0
	if p.cfg.LinkMTU != nil && outer.IsValid() {
		mtu = p.cfg.LinkMTU(outer.Local().Addr(), outer.Remote().Addr())
	}
	if mtu <= 0 {
		mtu = defaultLinkMTU
	}
	return min(mtu, maxDatagram)
}

// firstHop is linkMTU of a path that a pair is about to take. That of a path in use is known: it is
// asked for in each minute, and when a packet did not fit.
func (p *Plane) firstHop(outer ipsec.Path) int {
	p.mu.Lock()
	link := p.paths.linkInUse(outer)
	p.mu.Unlock()
	if link > 0 {
		return link
	}
	return p.linkMTU(&outer)
}

// limits returns the bounds that the first hop and the configuration set for a path.
func (p *Plane) limits(pt *path) pmtu.Limits {
	v6 := pt.outer.Is6()
	l := pmtu.Limits{Floor: p.cfg.MinMTU, Ceil: int(pt.link)}
	if v6 {
		l.Floor = minIPv6MTU // RFC 8201, Section 4: of less, a node "must discard it"
	} else if l.Floor == 0 {
		l.Floor = defaultMinMTU
	}
	most := 0
	for _, c := range pt.pairs {
		ceiling := p.ceilingOf(c)
		if ceiling == 0 {
			return l
		}
		most = max(most, c.outerLen(ceiling))
	}
	if most > 0 {
		l.Ceil = min(l.Ceil, max(most, l.Floor))
	}
	return l
}

// join adds c to the pairs of its path, whose first hop has the MTU link. Plane.mu is
// held.
func (p *Plane) join(c *pair, link int) {
	pt := p.paths.of(*c.outer.Load())
	if len(pt.pairs) == 0 {
		p.paths.idle--
	}
	pt.link, pt.pairs = int32(link), append(pt.pairs, c)
	c.path = pt
	c.quiet.Store(pt.checkAt == 0)
	if c.out != nil {
		p.paths.addSPI(c)
	}
	if pt.search == (pmtu.Path{}) {
		pt.search = pmtu.New(p.cfg.Now(), p.limits(pt), p.paths.made<<32)
	}
	was := pt.search.MTU()
	p.limit(pt)
	if pt.search.MTU() == was {
		p.setInnerMTU(c, was)
	}
	p.joinSource(c)
}

// limit applies the limits of a path again. Plane.mu is held.
func (p *Plane) limit(pt *path) {
	was := pt.search.MTU()
	pt.search.SetLimits(p.cfg.Now(), p.limits(pt))
	p.changed(pt, was, "the first hop or the configuration")
}

// part removes c from its path. Plane.mu is held.
func (p *Plane) part(c *pair) {
	p.partSource(c)
	pt := c.path
	c.path = nil
	pt.pairs = slices.DeleteFunc(pt.pairs, func(q *pair) bool { return q == c })
	if c.out != nil {
		p.paths.dropSPI(c)
	}
	p.schedule(pt)
	if len(pt.pairs) > 0 {
		return
	}
	pt.pairs = nil
	pt.unused = p.cfg.Now().UnixNano()
	p.paths.idle++
	if p.paths.idle > rememberMost {
		p.paths.forget(pt)
	}
}

// changed gives the pairs of a path its MTU if that differs from was, and schedules what is due
// next; by names the source of the MTU for the log. Plane.mu is held.
func (p *Plane) changed(pt *path, was int, by string) {
	p.schedule(pt)
	mtu := pt.search.MTU()
	if mtu == was || len(pt.pairs) == 0 {
		return
	}
	for _, c := range pt.pairs {
		p.setInnerMTU(c, mtu)
	}
	// An attacker on the path can cause many small changes, each by an ICMP error that quotes a
	// live SA.
	if second := int32(p.cfg.Now().Unix()); second != pt.logged {
		pt.logged = second
		p.cfg.Log.Info("the path MTU has changed", "remote", pt.outer.Remote().String(), "mtu", mtu, "was", was, "inner_mtu", pt.pairs[0].mtu.Load(), "by", by)
	}
}

// pathsOf returns the paths of those pairs that are still installed, each once.
func (p *Plane) pathsOf(list []*pair) []*path {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*path
	for _, c := range list {
		c.stale.Store(false)
		if c.path != nil && !slices.Contains(out, c.path) {
			out = append(out, c.path)
		}
	}
	return out
}

// refresh asks for the MTU of the first hop of paths again.
func (p *Plane) refresh(list []*path) {
	for _, pt := range list {
		link := p.linkMTU(&pt.outer) // without the lock, since it may be slow
		p.mu.Lock()
		if len(pt.pairs) > 0 {
			pt.link = int32(link)
			p.limit(pt)
		}
		p.mu.Unlock()
	}
}

// refreshSome refreshes a share of all paths, so that each is asked for once in refreshEvery.
func (p *Plane) refreshSome(now time.Time) {
	p.mu.Lock()
	if len(p.paths.refresh) == 0 && now.Sub(p.paths.asked) >= refreshEvery {
		p.paths.asked = now
		p.paths.refresh = p.paths.taken(now)
	}
	n := min(len(p.paths.refresh), max(refreshLeast, p.paths.count*int(2*tickEvery)/int(refreshEvery)))
	list := p.paths.refresh[:n]
	if p.paths.refresh = p.paths.refresh[n:]; len(p.paths.refresh) == 0 {
		p.paths.refresh = nil
	}
	p.mu.Unlock()
	p.refresh(list)
}

// schedule updates the time at which a path is due in the heap. A path without an SA to send on is
// never due, nor is a stream, which carries packets of any size. Plane.mu is held.
func (p *Plane) schedule(pt *path) {
	pt.due = 0
	if pt.carrier() != nil && !pt.outer.Stream() {
		pt.due = pt.checkAt
		if at := pt.search.Deadline(); !at.IsZero() && (pt.due == 0 || at.UnixNano() < pt.due) {
			pt.due = at.UnixNano()
		}
	}
	switch {
	case pt.due == 0 && pt.place >= 0:
		heap.Remove(&p.paths.due, int(pt.place))
	case pt.due == 0:
	case pt.place >= 0:
		heap.Fix(&p.paths.due, int(pt.place))
	default:
		heap.Push(&p.paths.due, pt)
	}
}

// carrier returns the newest SA that may be sent on, or nil. Plane.mu is held.
func (pt *path) carrier() *pair { return newestToSend(pt.pairs) }

// newestToSend returns the newest of some pairs, which are by age, that may be sent on, or nil.
// Those that are sent from the port of the path come first. Plane.mu is held.
func newestToSend(list []*pair) (found *pair) {
	for _, c := range slices.Backward(list) {
		switch {
		case !c.active || c.spent.Load():
		case !c.sa.OtherPorts:
			return c
		case found == nil:
			found = c
		}
	}
	return found
}
