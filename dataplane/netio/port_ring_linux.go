package netio

// recvRing takes a burst from the ring of host and delivers its first packet. It reports false if
// the ring is dry: then the next packet rings the bell.
func (p *port) recvRing(host *port, in *Received) bool {
	r := host.ring.Load()
	if r == nil || r.doze() {
		return false
	}
	p.ringBurst.take(r)
	p.takeRing(in)
	return true
}

// takeRing delivers the next packet of a burst from a ring.
func (p *port) takeRing(in *Received) {
	p.ringBurst.next(in)
	p.count.ring.Add(1)
}

// heardBell stills the bell. While the ring is held nothing may be taken from it, and nothing else
// tells when that ends: the bell rings on.
func (p *port) heardBell() {
	if r := p.ring.Load(); r == nil || !r.held.Load() {
		p.bell.still()
	}
}
