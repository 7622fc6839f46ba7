package dataplane

import (
	"container/heap"
	"slices"
	"time"

	"culvert/dataplane/pmtu"
	"culvert/esp"
)

const (
	// defaultLinkMTU is taken where nobody knows better: an Ethernet.
	defaultLinkMTU = 1500
	// defaultMinMTU is the floor over IPv4 (RFC 791: every host takes a datagram of 576 octets).
	defaultMinMTU = 576
	// refreshEvery is how often the system is asked again for the MTU of each first hop, and
	// refreshLeast how many are asked for at once.
	refreshEvery, refreshLeast = time.Minute, 16
	// useEvery is how often a path that is in use is looked at: is it still, and by large packets?
	useEvery = 2 * time.Second
	// largePacket is the mean size from which a path counts as carrying large packets.
	largePacket = 512
	// probesPerSecond bounds the probes of all paths together; probeBurst is how many may be sent
	// at once.
	probesPerSecond, probeBurst = 1000, 200
	// For how long, and of how many paths, the MTU is remembered while no SA takes them: an IKE SA
	// that is made again finds it.
	rememberFor, rememberMost = 10 * time.Minute, 4096
)

// path is where the packets of some SAs go outside, and what is known of its MTU. Plane.mu guards
// it. Times are UnixNano, 0 is never: there may be as many paths as SAs.
type path struct {
	ep     esp.Endpoint // without what does not choose the path
	next   *path        // another one to the same address and port
	pairs  []*pair
	search pmtu.Path

	due     int64     // when search or use must be looked at
	checkAt int64     // when its use is looked at; 0: nothing was sent since, and a worker says when
	unused  int64     // since when no SA takes it
	seen    esp.Usage // what its SAs had sent when last looked at, probes left out

	link    int32 // MTU of the first hop
	place   int32 // in the heap of those that have something due; -1: it is not
	second  int32 // in which requests were answered last
	answers int32 // and how many
	logged  int32 // the second in which a change was logged last
}

// linkMTU is the MTU of the first hop to the endpoint, within what IP can carry. It may take its
// time.
func (p *Plane) linkMTU(ep *esp.Endpoint) int {
	mtu := 0
	if p.cfg.LinkMTU != nil && ep.Remote.IsValid() {
		mtu = p.cfg.LinkMTU(ep.Local.Addr(), ep.Remote.Addr())
	}
	if mtu <= 0 {
		mtu = defaultLinkMTU
	}
	return min(mtu, maxDatagram)
}

// limits are what the first hop and the configuration allow for a path.
func (p *Plane) limits(pt *path) pmtu.Limits {
	v6 := pt.ep.Remote.Addr().Is6()
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
		most = max(most, ceiling)
	}
	if most > 0 {
		l.Ceil = min(l.Ceil, max(esp.OuterLen(most, v6, pt.ep.Encap), l.Floor))
	}
	return l
}

// join makes c one of the pairs of its endpoint's path, whose first hop has the MTU link. Plane.mu
// is held.
func (p *Plane) join(c *pair, link int) {
	pt := p.paths.of(*c.endpoint.Load())
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
}

// limit applies the limits of a path anew. Plane.mu is held.
func (p *Plane) limit(pt *path) {
	was := pt.search.MTU()
	pt.search.SetLimits(p.cfg.Now(), p.limits(pt))
	p.changed(pt, was, "the first hop or the configuration")
}

// part takes c from its path. Plane.mu is held.
func (p *Plane) part(c *pair) {
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

// changed gives the pairs of a path its MTU if that was another before, and sees to what is due
// next; by says how it is known. Plane.mu is held.
func (p *Plane) changed(pt *path, was int, by string) {
	p.schedule(pt)
	mtu := pt.search.MTU()
	if mtu == was || len(pt.pairs) == 0 {
		return
	}
	for _, c := range pt.pairs {
		p.setInnerMTU(c, mtu)
	}
	// Who is on the path can make many small changes, each with an ICMP error that quotes a live SA.
	if second := int32(p.cfg.Now().Unix()); second != pt.logged {
		pt.logged = second
		p.cfg.Log.Info("the path MTU has changed", "remote", pt.ep.Remote.String(), "mtu", mtu, "was", was, "inner_mtu", pt.pairs[0].mtu.Load(), "by", by)
	}
}

// pathsOf are the paths of pairs that are still installed, each once.
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

// refresh asks again for the MTU of the first hop of paths.
func (p *Plane) refresh(list []*path) {
	for _, pt := range list {
		link := p.linkMTU(&pt.ep) // without the lock: it takes its time
		p.mu.Lock()
		if len(pt.pairs) > 0 {
			pt.link = int32(link)
			p.limit(pt)
		}
		p.mu.Unlock()
	}
}

// refreshSome refreshes a part of all paths: each is asked for once in refreshEvery.
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

// schedule puts a path where the heap has it due. Without an SA to send on nothing is. Plane.mu is
// held.
func (p *Plane) schedule(pt *path) {
	pt.due = 0
	if pt.carrier() != nil {
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

// carrier is the newest SA that may be sent on, or nil. Plane.mu is held.
func (pt *path) carrier() *pair {
	for _, c := range slices.Backward(pt.pairs) {
		if c.active && !c.spent.Load() {
			return c
		}
	}
	return nil
}
