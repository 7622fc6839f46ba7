package netio

// recvRing takes a burst of at most the given number of packets from the ring of host, and delivers
// the first one. It reports false if the ring is dry, or if it is not its turn.
//
// Only host itself has the next packet ring the bell, when it finds the ring dry: it looks again
// before it sleeps. A helper need not come back. A packet that came just as it looked would have
// silenced the bell, and those behind it would wait in the ring until something else wakes host.
func (p *port) recvRing(host *port, r *ring, most int, in *Received) bool {
	if r == nil {
		return false
	}
	if p == host && r.doze() || !r.waits() {
		r.emptied()
		return false
	}
	if r.turn.Load() == ringDue {
		return false
	}
	p.ringBurst.take(r, most)
	if r.noteTaken(p.ringBurst.at, p.ringBurst.end) {
		p.count.shed.Add(1)
	}
	p.takeRing(in)
	return true
}

// leads is recvRing for a ring whose packets are older than those of the sockets, also than those
// of a burst that has not begun yet: they become the begin of that one.
func (p *port) leads(host *port, r *ring, in *Received) bool {
	if r == nil || r.turn.Load() != ringLeads || !r.waits() {
		return false
	}
	if !p.burst.more() {
		p.ringBurst.finish()
	}
	return p.recvRing(host, r, ringSlots, in)
}

// takeRing delivers the next packet of a burst from a ring.
func (p *port) takeRing(in *Received) {
	p.ringBurst.next(in)
	in.More = in.More || p.burst.more()
	p.count.ring.Add(1)
}

// settle has the raw sockets read until they are dry, if the packets in the ring are newer, and
// reports whether it is to be done now. A packet was in its socket before the next one of its SA
// came into the ring, which is why the ring is looked at first.
func (p *port) settle(r *ring) bool {
	if r == nil || r.settling || r.turn.Load() != ringDue || !r.waits() {
		return false
	}
	for _, s := range p.heard {
		if s.raw {
			s.ready.Store(true)
		}
	}
	r.settling = true
	return true
}

// settled ends settle, when all sockets are dry.
func (r *ring) settled() {
	if r != nil && r.settling {
		r.settling = false
		r.turn.CompareAndSwap(ringDue, ringFlows)
	}
}
