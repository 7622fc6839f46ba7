package dataplane

import (
	"time"

	"culvert/internal/ipsec"
)

// A budget is a token bucket of probes, so that a start with very many peers does not flood the
// network.
type budget struct {
	left float64
	at   time.Time
}

// fill adds the tokens of the time since the last call. It returns the wait until there is one; 0:
// there is.
func (b *budget) fill(now time.Time) time.Duration {
	if b.at.IsZero() {
		b.left = probeBurst
	} else if d := now.Sub(b.at); d > 0 {
		b.left = min(b.left+d.Seconds()*probesPerSecond, probeBurst)
	}
	b.at = now
	if b.left >= 1 {
		return 0
	}
	return time.Duration((1 - b.left) / probesPerSecond * float64(time.Second))
}

// searchPaths does the work that is due for the paths, and returns the time until more is due;
// false: nothing is scheduled. Probes are sent within the budget; the others are only delayed.
func (p *Plane) searchPaths() (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	b := &p.paths.budget
	for len(p.paths.due) > 0 && p.paths.due[0].due <= now.UnixNano() {
		if wait = b.fill(now); wait > 0 {
			return wait, true
		}
		b.left -= float64(p.searchPath(p.paths.due[0], now))
	}
	if len(p.paths.due) == 0 {
		return 0, false
	}
	return time.Duration(p.paths.due[0].due - now.UnixNano()), true
}

// searchPath does the work that is due for one path, and returns the number of probes sent.
// Plane.mu is held.
func (p *Plane) searchPath(pt *path, now time.Time) int {
	c := pt.carrier()
	if c == nil { // a worker has just ended the last SA
		p.schedule(pt)
		return 0
	}
	if pt.checkAt != 0 && now.UnixNano() >= pt.checkAt {
		p.lookAtUse(pt, now)
	}
	was := pt.search.MTU()
	p.paths.probes = pt.search.Step(now, p.paths.probes[:0])
	if pt.search.MTU() < was {
		p.tally.add(countPMTUBlackHole, 1)
	}
	for _, probe := range p.paths.probes {
		p.sendDummy(c, dummy{kind: dummyRequest, probe: probe}, probe.Size)
	}
	p.changed(pt, was, "probes")
	return len(p.paths.probes) + p.askIKE(pt, c, now)
}

// lookAtUse tells the search what was sent since the last check. If nothing was, the next check
// comes when a worker reports a send. Plane.mu is held.
func (p *Plane) lookAtUse(pt *path, now time.Time) {
	packets, octets := int64(-pt.seen.Packets), int64(-pt.seen.Octets)
	pt.seen.Packets, pt.seen.Octets = 0, 0
	for _, c := range pt.pairs {
		if c.out != nil {
			used := c.out.Used()
			pt.seen.Packets += used.Packets
			pt.seen.Octets += used.Octets
		}
	}
	packets, octets = packets+int64(pt.seen.Packets), octets+int64(pt.seen.Octets)
	if packets > 0 {
		pt.search.Used(octets > packets*largePacket)
		pt.checkAt = now.Add(useEvery).UnixNano()
		return
	}
	pt.checkAt = 0
	for _, c := range pt.pairs {
		c.quiet.Store(true)
	}
}

// noteUse notes that a packet was sent on c after a pause. Only workers call it.
func (p *Plane) noteUse(c *pair) {
	if c.quiet.Swap(false) {
		p.stirred.add(c)
		p.nudge()
	}
}

// stir schedules a check of the use of the paths of pairs on which something was sent after a
// pause.
func (p *Plane) stir(list []*pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		if pt := c.path; pt != nil && pt.checkAt == 0 {
			pt.checkAt = p.cfg.Now().UnixNano()
			for _, other := range pt.pairs {
				other.quiet.Store(false)
			}
			p.schedule(pt)
		}
	}
}

// restart starts the confirmation of the MTU of a pair's path, since its SA has come up. Plane.mu
// is held.
func (p *Plane) restart(c *pair) {
	c.path.search.Restart(p.cfg.Now())
	p.schedule(c.path)
}

// takeDummy answers a request, or gives an answer to the search.
func (p *Plane) takeDummy(d receivedDummy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pt, s := d.pair.path, p.slots[d.pair.sa.Policy]
	if pt == nil {
		return
	}
	now := p.cfg.Now()
	if d.kind == dummyAnswer && d.probe.ID >= sourceIDs {
		p.sourceAnswered(d.pair, d.probe.ID, now)
		return
	}
	if d.kind == dummyAnswer {
		p.tally.add(countPMTUAnswer, 1)
		if s != nil {
			s.answered, s.silence.probed = now.UnixNano(), true
		}
		was := pt.search.MTU()
		pt.search.Answer(now, d.probe)
		p.changed(pt, was, "probes")
		return
	}
	if s == nil {
		return
	}
	if c := p.answersOn(d.pair); c != nil && s.mayAnswer(now) {
		p.sendDummy(c, dummy{kind: dummyAnswer, probe: d.probe}, 0)
	}
	if second := int32(now.Unix()); d.probe.Size == 0 && s.told != second { // it asks for no MTU
		s.told = second
		p.events.post(ipsec.Event{Kind: ipsec.EventProbed, ID: d.pair.sa.ID})
	}
}

// answersOn returns the SA for the answer to a request on a pair, or nil: one of its policy, since
// the peer may want to know whether the policy's packets pass, or else any of its path. Plane.mu is
// held.
func (p *Plane) answersOn(c *pair) *pair {
	if s := p.slots[c.sa.Policy]; s != nil {
		if own := newestToSend(s.pairs); own != nil {
			return own
		}
	}
	return c.path.carrier()
}

// answersPerSecond bounds the requests on a policy's pairs that are answered in a second. A peer
// may ask on those of each of many policies at once.
const answersPerSecond = 64

func (s *slot) mayAnswer(now time.Time) bool {
	if second := int32(now.Unix()); second != s.second {
		s.second, s.answers = second, 0
	}
	s.answers++
	return s.answers <= answersPerSecond
}

// sendDummy posts d to a worker, to be sealed and sent on c as an outer packet of size octets, or
// of the least possible. It does not count as use of the path. It leaves by the port of the path,
// also where c is sent from another one: what is learnt is learnt of the path. Plane.mu is held.
func (p *Plane) sendDummy(c *pair, d dummy, size int) {
	var on *ipsec.Path
	if c.sa.OtherPorts {
		on = &c.path.outer
	}
	if p.postDummy(c, d, size, on) && d.kind == dummyRequest {
		p.tally.add(countPMTUProbe, 1)
	}
}

// postDummy is sendDummy on a path of its own; nil: that of c. It reports whether there was room.
func (p *Plane) postDummy(c *pair, d dummy, size int, on *ipsec.Path) bool {
	outer := &c.path.outer
	n := max(dummyLen, c.format().InnerMTU(size, outer.Is6(), outer.Encapsulated()))
	w := p.workers[max(c.sa.Resource-1, 0)]
	if !p.cfg.Probe || !w.mail.putDummy(postedDummy{c, d, n, on}) {
		return false
	}
	c.path.seen.Packets++
	c.path.seen.Octets += uint64(n)
	if s := p.slots[c.sa.Policy]; s != nil {
		s.dummies++
	}
	return true
}
