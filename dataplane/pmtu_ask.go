package dataplane

import (
	"time"

	"culvert/dataplane/pmtu"
	"culvert/internal/ipsec"
)

// askIKE asks IKE to probe a size, if the peer of a path answers no probes and the search wants
// one. It returns the number of requests. Plane.mu is held.
func (p *Plane) askIKE(pt *path, c *pair, now time.Time) int {
	if !p.cfg.AskIKE {
		return 0
	}
	size, ok := pt.search.Ask(now)
	p.schedule(pt)
	if !ok {
		return 0
	}
	p.tally.add(countPMTUAsked, 1)
	p.events.post(ipsec.Event{Kind: ipsec.EventProbePath, ID: c.sa.ID, Size: size})
	return 1
}

// PathProbed answers an ipsec.EventProbePath. An answer for a pair that is gone, or that has
// another path by now, changes nothing. Any goroutine may call it.
func (p *Plane) PathProbed(r ipsec.PathProbe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.pairs[r.ID]
	if c == nil || c.path == nil {
		return
	}
	verdict := pmtu.Unknown
	switch r.Verdict {
	case ipsec.PathPassed:
		verdict = pmtu.Passed
		p.tally.add(countPMTUPassed, 1)
	case ipsec.PathLost:
		verdict = pmtu.Lost
	}
	pt := c.path
	was := pt.search.MTU()
	pt.search.Told(p.cfg.Now(), r.Size, r.Sent, verdict)
	if pt.search.MTU() < was {
		p.tally.add(countPMTUBlackHole, 1)
	}
	p.changed(pt, was, "IKE")
	p.nudge()
}
