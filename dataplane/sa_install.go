package dataplane

import (
	"errors"
	"fmt"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// errEmptySA is the error for a pair with neither direction.
var errEmptySA = errors.New("dataplane: SA pair without an SPI")

// InstallInbound registers the pair and makes its inbound SA, if any, live. Nothing is sent on the
// pair before ActivateOutbound. The SPI is from AllocSPI, or an operator's own. On an error nothing
// has changed. Any goroutine may call it.
func (p *Plane) InstallInbound(sa ipsec.ChildSA) error {
	if sa.Resource < 0 || sa.Resource > len(p.workers) {
		return fmt.Errorf("dataplane: Child SA %d is for worker %d of %d", sa.ID, sa.Resource, len(p.workers))
	}
	c, err := newPair(sa)
	if err != nil {
		return err
	}
	return p.publish(c)
}

// publish registers a new pair. On an error it clears the pair's keys, which no worker has seen.
func (p *Plane) publish(c *pair) (err error) {
	link := p.firstHop(*c.outer.Load())
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() {
		if err != nil {
			c.clearKeys()
		}
	}()
	if _, ok := p.pairs[c.sa.ID]; ok {
		return fmt.Errorf("dataplane: Child SA %d is installed already", c.sa.ID)
	}
	if s := p.slots[c.sa.Policy]; s != nil {
		c.held.Store(p.acquires.holds(s))
	}
	if c.in != nil {
		if err := p.sad.install(c); err != nil {
			return err
		}
	}
	p.pairs[c.sa.ID] = c
	p.slotOf(c.sa.Policy).join(c)
	p.join(c, link)
	p.nudge()
	if c.in != nil {
		p.earliesArrived(c.sa.SPIIn)
		p.tellInletFirst(c)
	}
	return nil
}

// tellInlet tells of the pair's inbound SA, if its packets come by IP protocol 50.
func (p *Plane) tellInlet(c *pair) {
	if to := c.outer.Load(); c.in != nil && to.Via() == ipsec.Raw {
		p.cfg.Inlet.Live(c.sa.SPIIn)
	}
}

// tellInletFirst is tellInlet for a new pair: packets by UDP are not awaited any more.
func (p *Plane) tellInletFirst(c *pair) {
	if to := c.outer.Load(); to.Via() != ipsec.Raw {
		p.cfg.Inlet.Gone(c.sa.SPIIn)
	}
	p.tellInlet(c)
}

// clearKeys wipes the keys of the pair's ciphers at once. No goroutine may be using the pair any
// more.
func (c *pair) clearKeys() {
	if c.in != nil {
		c.in.Clear()
	}
	if c.out != nil {
		c.out.Clear()
	}
}

// clearAllKeys wipes the keys of all pairs. It is called after the workers have ended.
func (p *Plane) clearAllKeys() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.pairs {
		c.clearKeys()
	}
}

// newPair makes the pair's ciphers, which alone hold the keys.
func newPair(sa ipsec.ChildSA) (*pair, error) {
	if sa.SPIIn == 0 && sa.SPIOut == 0 {
		return nil, errEmptySA
	}
	c := &pair{}
	if sa.SPIIn != 0 {
		in, err := esp.NewInbound(sa.Inbound())
		if err != nil {
			return nil, err
		}
		c.in = in
	}
	if sa.SPIOut != 0 {
		out, err := esp.NewOutbound(sa.Outbound())
		if err != nil {
			c.clearKeys()
			return nil, err
		}
		c.out = out
	}
	c.sa = knownSA{
		ID: sa.ID, SPIIn: sa.SPIIn, PerResource: sa.PerResource, OtherPorts: sa.OtherPorts, Resource: sa.Resource, Policy: sa.Policy,
		Path: sa.Path, LocalTS: sa.LocalTS, RemoteTS: sa.RemoteTS,
		noise:      selector.MatchNoise(sa.LocalTS) || selector.MatchNoise(sa.RemoteTS),
		tellsPorts: tellsPorts(sa.LocalTS) || tellsPorts(sa.RemoteTS),
		hosts:      hostsOf(&sa.Hosts),
	}
	c.sendOrder.Pass(1) // RFC 4303, Section 3.3.3: the first packet has sequence number 1
	if s := c.state(); s != (esp.State{}) {
		c.before = &s
		c.sendOrder.Pass(s.Sent.Packets + 1)
	}
	c.outer.Store(&c.sa.Path)
	return c, nil
}

// ActivateOutbound makes the pair's outbound SA the one that its policy sends on, and sends the
// packets of the acquire queue that waited for it. Nothing changes for a pair with a smaller ID
// than that of the SA in use, one without an outbound SA, or one that is not installed. Any
// goroutine may call it.
func (p *Plane) ActivateOutbound(id ipsec.ChildID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.pairs[id]
	if c == nil || c.out == nil {
		return
	}
	if from := c.sourceOf(); from != nil {
		from.follow(p, c)
	}
	s := p.slotOf(c.sa.Policy)
	s.activate(c, len(p.workers))
	c.active = true
	p.restart(c)
	p.nudge()
	p.acquires.answered(s)
}

// DeactivateOutbound stops sending on the pair; another SA of its policy takes over, if there is
// one. Inbound traffic is accepted as before. Any goroutine may call it.
func (p *Plane) DeactivateOutbound(id ipsec.ChildID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.pairs[id]; c != nil {
		p.slotOf(c.sa.Policy).deactivate(c, len(p.workers))
		c.active = false
		p.schedule(c.path)
	}
}

// RemoveSA removes both SAs of the pair and frees its SPI. An older SA of its policy that is still
// active is sent on again. Any goroutine may call it.
func (p *Plane) RemoveSA(id ipsec.ChildID) { p.TakeOut(id) }

// takenOutSkip exceeds the number of packets that all workers can still send on a pair just taken
// out, each in one turn of its loop.
const takenOutSkip = 1 << 20

// State returns the state of a pair that goes on. Its sequence numbers and its window may have
// moved on when State returns. False: there is no such pair. Any goroutine may call it, also after
// Run.
func (p *Plane) State(id ipsec.ChildID) (s esp.State, ok bool) {
	c := p.pairByID(id)
	if c == nil {
		return esp.State{}, false
	}
	return c.state(), true
}

// Allow lets the sequence numbers of a pair up to last be used (ChildSA.Allowed). Any goroutine may
// call it.
func (p *Plane) Allow(id ipsec.ChildID, last uint64) {
	if c := p.pairByID(id); c != nil && c.out != nil {
		c.out.Allow(last)
	}
}

// TakeOut is RemoveSA, and returns the state with which another pair of the same keys can continue.
// It skips some sequence numbers, since a worker may still be sending. False: there is no such
// pair. Any goroutine may call it.
func (p *Plane) TakeOut(id ipsec.ChildID) (s esp.State, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.pairs[id]
	if c == nil {
		return esp.State{}, false
	}
	p.remove(c)
	return c.state().Skip(takenOutSkip), true
}

// state returns the counters and the top of the replay window of the pair.
func (c *pair) state() (s esp.State) {
	if c.out != nil {
		s.Sent = c.out.Used()
	}
	if c.in != nil {
		s.Received, s.Highest = c.in.Used(), c.in.Highest()
	}
	return s
}

// remove takes a pair out of all tables. Plane.mu is held.
func (p *Plane) remove(c *pair) {
	delete(p.pairs, c.sa.ID)
	if c.in != nil {
		p.sad.remove(c)
		p.cfg.Inlet.Gone(c.sa.SPIIn)
	}
	p.countMTU(int(c.mtu.Load()), -1)
	c.active = false
	p.part(c)
	s := p.slotOf(c.sa.Policy)
	s.deactivate(c, len(p.workers))
	s.leave(c)
	p.dropUnused(s)
	p.nudge()
}

// SetPath changes the path of the pair's packets at once. Any goroutine may call it.
func (p *Plane) SetPath(id ipsec.ChildID, to ipsec.Path) {
	link := p.firstHop(to)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.pairs[id]
	if c == nil {
		return
	}
	p.part(c)
	c.outer.Store(&to)
	p.tellInlet(c)
	p.join(c, link)
	p.restart(c)
	p.nudge()
}

// AcquireFailed reports that no SA will come for the policy: its packets in the acquire queue are
// dropped, and the next packet asks again. Any goroutine may call it.
func (p *Plane) AcquireFailed(policy ipsec.PolicyID) {
	p.mu.Lock()
	s := p.slots[policy]
	p.mu.Unlock()
	if s != nil {
		p.acquires.failed(s, p.cfg.Now())
	}
}
