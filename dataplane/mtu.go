package dataplane

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"culvert/esp"
)

const (
	// defaultPathMTU is taken where nobody knows better: an Ethernet.
	defaultPathMTU = 1500
	// refreshMTU is how often the kernel is asked again for the path MTU. It forgets what it learnt after ten minutes by itself.
	refreshMTU = time.Minute
	tickEvery  = time.Second
)

// control is the goroutine that does what takes time and must not be done by a worker: asking for path MTUs, setting the TUN's, dropping packets that
// were kept too long.
func (p *Plane) control(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	refreshed := p.cfg.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
			p.refreshPaths(p.siblings(p.doubts.take()))
		case <-tick.C:
			now := p.cfg.Now()
			p.keeper.tick(now)
			p.tickFragments(now)
			if now.Sub(refreshed) >= refreshMTU {
				refreshed = now
				p.refreshPaths(p.allPairs())
			}
		}
		p.setTUNMTU()
	}
}

// nudge makes the control goroutine look. It never blocks.
func (p *Plane) nudge() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// doubts is the pairs whose path MTU is to be asked for anew, because a send was larger than it.
type doubts struct {
	mu   sync.Mutex
	list []*pair
}

// doubt notes that a send by c was too large. Workers.
func (p *Plane) doubt(c *pair) {
	if !c.stale.Swap(true) {
		p.doubts.mu.Lock()
		p.doubts.list = append(p.doubts.list, c)
		p.doubts.mu.Unlock()
	}
	p.nudge()
}

func (d *doubts) take() []*pair {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	for _, c := range list {
		c.stale.Store(false)
	}
	return list
}

// siblings is the pairs and all others of their policies, which take the same path.
func (p *Plane) siblings(list []*pair) []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*pair
	for _, c := range list {
		if s := p.slots[c.sa.Policy]; s != nil {
			all = append(all, s.pairs...)
		}
	}
	return all
}

// allPairs is every pair that is installed.
func (p *Plane) allPairs() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*pair, 0, len(p.pairs))
	for _, c := range p.pairs {
		list = append(list, c)
	}
	return list
}

// refreshPaths asks anew for the path MTU of the pairs.
func (p *Plane) refreshPaths(list []*pair) {
	type path struct{ local, remote netip.Addr }
	known := make(map[path]int)
	for _, c := range list {
		ep := c.endpoint.Load()
		k := path{ep.Local.Addr(), ep.Remote.Addr()}
		mtu, ok := known[k]
		if !ok {
			mtu = p.pathMTU(ep)
			known[k] = mtu
		}
		p.mu.Lock()
		if p.pairs[c.sa.ID] == c && c.endpoint.Load() == ep {
			p.setInnerMTU(c, mtu)
		}
		p.mu.Unlock()
	}
}

// pathMTU is the path MTU to the endpoint, within what IP can carry.
func (p *Plane) pathMTU(ep *esp.Endpoint) int {
	mtu := 0
	if p.cfg.PathMTU != nil && ep.Remote.IsValid() {
		mtu = p.cfg.PathMTU(ep.Local.Addr(), ep.Remote.Addr())
	}
	if mtu <= 0 {
		mtu = defaultPathMTU
	}
	return min(mtu, maxDatagram)
}

// setInnerMTU computes c's inner MTU for a path MTU. Plane.mu is held.
func (p *Plane) setInnerMTU(c *pair, path int) {
	old, mtu := int(c.mtu.Load()), c.innerMTU(path)
	c.mtu.Store(int32(mtu))
	p.countMTU(old, -1)
	p.countMTU(mtu, 1)
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

// setTUNMTU gives the TUN the largest inner MTU of all SAs: what is too big for another SA gets its ICMP answer from us, and what the device refused nobody
// could send. Without an SA it stays as it is.
func (p *Plane) setTUNMTU() {
	if p.cfg.MTU != 0 || p.cfg.SetMTU == nil {
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
	if largest == p.tunMTU {
		return
	}
	p.tunMTU = largest // also if it fails: nobody wants to read of it every second
	if err := p.cfg.SetMTU(largest); err != nil {
		p.cfg.Log.Warn("cannot set the MTU of the TUN device", "mtu", largest, "error", err)
	}
}
