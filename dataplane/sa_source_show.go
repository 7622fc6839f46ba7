package dataplane

import (
	"slices"
	"time"

	"culvert/dataplane/pmtu"
)

// showEvery is how often a path that is in use is shown to the peer.
const showEvery = 100 * time.Millisecond

// showPaths sends a dummy packet, which nobody answers, from the port of each path whose workers
// send on SAs of their own. It is on an SA for all workers, by which the peer learns where we are:
// a NAT may have forgotten us, and by the others the peer would not learn it.
func (p *Plane) showPaths(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.showSome(now)
}

// showSome does it for the paths of the next maxSourceLooks sources. Plane.mu is held.
func (p *Plane) showSome(now time.Time) {
	since := now.Add(-2 * showEvery).UnixNano()
	for range min(len(p.sources), maxSourceLooks) {
		if p.showAt >= len(p.sources) {
			p.showAt = 0
		}
		s := p.sources[p.showAt]
		p.showAt++
		if i := slices.IndexFunc(s.pairs, func(c *pair) bool { return c.lastOut.Load() > since }); i >= 0 {
			p.showPath(s.path, s.pairs[i], now.UnixNano())
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
