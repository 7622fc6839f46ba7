package dataplane

import (
	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

// pathTooBig applies an ICMP error if it quotes an SA that is live and uses this path: nobody off
// the path knows the SPI (RFC 4301, Section 8.2). Any other is counted and ignored.
func (p *Plane) pathTooBig(e netio.TooBig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.paths.quotedBy(&e)
	if c == nil {
		p.tally.add(countPMTUIgnored, 1)
		return
	}
	was := c.path.search.MTU()
	if !c.path.search.TooBig(p.cfg.Now(), e.MTU) {
		p.tally.add(countPMTUIgnored, 1)
		return
	}
	p.tally.add(countPMTUICMP, 1)
	p.changed(c.path, was, "ICMP")
}

// quoted reports whether a packet of the path has the headers that e quotes, which have no zones.
func quoted(p *ipsec.Path, e *netio.TooBig) bool {
	local, remote, to := p.Local().Addr().WithZone(""), p.Remote(), e.Path.Remote()
	switch {
	case e.SPI == 0 || p.Via() != e.Path.Via() || remote.Addr().WithZone("") != to.Addr() || remote.Port() != to.Port():
		return false
	case local.IsValid() && !local.IsUnspecified():
		return local == e.Path.Local().Addr()
	}
	return true
}

// quotedBy returns the pair whose packet e quotes, or nil.
func (ps *paths) quotedBy(e *netio.TooBig) *pair {
	if c := ps.bySPI[e.SPI]; c == nil || quoted(c.outer.Load(), e) {
		return c
	}
	for _, c := range ps.sameSPI[e.SPI] {
		if quoted(c.outer.Load(), e) {
			return c
		}
	}
	return nil
}
