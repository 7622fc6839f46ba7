package dataplane

import (
	"maps"
)

// doubt notes that a send on c was larger than the device accepts. Only workers call it.
func (p *Plane) doubt(c *pair) {
	if !c.stale.Swap(true) {
		p.doubts.add(c)
	}
	p.nudge()
}

// setInnerMTU computes c's inner MTU from its path's MTU, within the configured bounds. Plane.mu is
// held.
func (p *Plane) setInnerMTU(c *pair, path int) {
	old, mtu := int(c.mtu.Load()), c.innerMTU(path)
	if most := p.ceilingOf(c); most > 0 {
		mtu = min(mtu, most)
	}
	c.mtu.Store(int32(mtu))
	p.countMTU(old, -1)
	p.countMTU(mtu, 1)
}

// ceilingOf returns the largest inner MTU that the configuration allows a pair; 0: any. Plane.mu is
// held.
func (p *Plane) ceilingOf(c *pair) int {
	most := p.ceilings[c.sa.Peer]
	if most == 0 || p.cfg.MTU > 0 && p.cfg.MTU < most {
		most = p.cfg.MTU
	}
	return most
}

// SetCeilings sets the largest inner MTU of the SAs of each peer in the map; Config.MTU alone
// bounds the SAs of others. The plane takes ownership of the map. Any goroutine may call it.
func (p *Plane) SetCeilings(ceilings map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.ceilings
	if maps.Equal(old, ceilings) {
		return
	}
	p.ceilings = ceilings
	for _, c := range p.pairs {
		if peer := c.sa.Peer; old[peer] != ceilings[peer] {
			p.limit(c.path)
			p.setInnerMTU(c, c.path.search.MTU())
		}
	}
	p.nudge()
}

// countMTU adds n to the number of SAs with an inner MTU; 0 is none. Plane.mu is held.
func (p *Plane) countMTU(mtu, n int) {
	if mtu == 0 {
		return
	}
	p.mtus[mtu] += n
	if p.mtus[mtu] <= 0 {
		delete(p.mtus, mtu)
	}
}

// setTUNMTU sets the TUN's MTU to the largest inner MTU of all SAs. A packet too big for another SA
// gets an ICMP error from the plane, whereas a packet that the device refuses could not be sent at
// all. Without an SA the MTU stays as it is.
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
	p.tunMTU = largest // on failure as well: the warning must not repeat every second
	if err := p.cfg.SetMTU(largest); err != nil {
		p.cfg.Log.Warn("cannot set the MTU of the TUN device", "mtu", largest, "error", err)
	}
}
