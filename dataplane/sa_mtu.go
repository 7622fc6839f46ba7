package dataplane

import "culvert/internal/ipsec"

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
	most := p.policyCeiling(c.sa.Policy)
	if most == 0 || p.cfg.MTU > 0 && p.cfg.MTU < most {
		most = p.cfg.MTU
	}
	return most
}

// policyCeiling returns the largest inner MTU of a policy's SAs (ipsec.Policy.MTU); 0: any.
// Plane.mu is held.
func (p *Plane) policyCeiling(policy ipsec.PolicyID) int {
	s := p.slots[policy]
	if s != nil && s.within != 0 {
		s = p.slots[s.within]
	}
	if s == nil {
		return 0
	}
	return s.ceiling
}

// setCeiling sets what a policy says of the inner MTU, and reports whether SAs may have to follow.
// Plane.mu is held.
func (s *slot) setCeiling(c *ipsec.Policy) (follow bool) {
	follow = (s.ceiling != c.MTU || s.within != c.Within) && (s.configured || len(s.pairs) > 0)
	s.ceiling, s.within = c.MTU, c.Within
	return follow
}

// followCeilings limits the SAs of policies whose ceilings changed, and of those within them.
// Plane.mu is held.
func (p *Plane) followCeilings(changed map[*slot]bool) {
	if len(changed) == 0 {
		return
	}
	for _, c := range p.pairs {
		if s := p.slots[c.sa.Policy]; s != nil && (changed[s] || changed[p.slots[s.within]]) {
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
