package dataplane

import (
	"maps"
)

// doubt notes that a send by c was larger than the device takes. Workers.
func (p *Plane) doubt(c *pair) {
	if !c.stale.Swap(true) {
		p.doubts.add(c)
	}
	p.nudge()
}

// setInnerMTU computes c's inner MTU for the MTU of its path, within what is configured. Plane.mu
// is held.
func (p *Plane) setInnerMTU(c *pair, path int) {
	old, mtu := int(c.mtu.Load()), c.innerMTU(path)
	if most := p.ceilingOf(c); most > 0 {
		mtu = min(mtu, most)
	}
	c.mtu.Store(int32(mtu))
	p.countMTU(old, -1)
	p.countMTU(mtu, 1)
}

// ceilingOf is the largest inner MTU that the configuration allows a pair; 0: any. Plane.mu is
// held.
func (p *Plane) ceilingOf(c *pair) int {
	most := p.ceilings[c.sa.Policy.Peer]
	if most == 0 || p.cfg.MTU > 0 && p.cfg.MTU < most {
		most = p.cfg.MTU
	}
	return most
}

// SetCeilings sets the largest inner MTU of the SAs of peers; those of peers that are not among
// them are bounded by Config.MTU alone. The map is the plane's from then on. Any goroutine.
func (p *Plane) SetCeilings(ceilings map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.ceilings
	if maps.Equal(old, ceilings) {
		return
	}
	p.ceilings = ceilings
	for _, c := range p.pairs {
		if peer := c.sa.Policy.Peer; old[peer] != ceilings[peer] {
			p.limit(c.path)
			p.setInnerMTU(c, c.path.search.MTU())
		}
	}
	p.nudge()
}

// countMTU notes how many SAs have an inner MTU; 0 is none. Plane.mu is held.
func (p *Plane) countMTU(mtu, n int) {
	if mtu == 0 {
		return
	}
	p.mtus[mtu] += n
	if p.mtus[mtu] <= 0 {
		delete(p.mtus, mtu)
	}
}

// setTUNMTU gives the TUN the largest inner MTU of all SAs: what is too big for another SA gets its
// ICMP answer from us, and what the device refused nobody could send. Without an SA it stays as it
// is.
func (p *Plane) setTUNMTU() {
	if p.cfg.SetMTU == nil {
		return
	}
	p.mu.Lock()
	largest := 0
	for mtu := range p.mtus {
		largest = max(largest, mtu)
	}
	p.mu.Unlock()
	if largest == 0 {
		return
	}
	largest = max(largest, minIPv6MTU) // with less, IPv6 ends on the device (RFC 8200, Section 5)
	if p.cfg.MTU != 0 {
		largest = min(largest, p.cfg.MTU)
	}
	if largest == p.tunMTU {
		return
	}
	p.tunMTU = largest // also if it fails: nobody wants to read of it every second
	if err := p.cfg.SetMTU(largest); err != nil {
		p.cfg.Log.Warn("cannot set the MTU of the TUN device", "mtu", largest, "error", err)
	}
}
