package daemon

import (
	"context"
	"slices"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// A sample is the numbers of one scrape. All values of a metric must be written together, so that
// they are gathered first: about 100 octets for each child, which is what a scrape takes in memory.
// Parties have no metrics of their own, because their number is not bounded by the configuration: a
// peer is in the best state of its parties, and its children carry the sums of theirs.
type sample struct {
	cfg      *config.Config
	uptime   float64
	guard    control.Guard
	counters map[string]uint64
	peers    []peerSample  // in step with cfg.Peers
	children []childSample // in the order of cfg.Peers, and of each one's Order
	held     []heldSample
	verdicts []heldVerdict // of the last look

	last int // the peer that was added last
}

// A peerSample is the gauges of a configured peer.
type peerSample struct {
	children int    // place of its first child
	place    uint64 // ike.PeerGauges.Place
	parties  int    // that are connected
	state    ike.PeerState
	manual   bool // it has no IKE
	known    bool // the engine has it
	party    bool // it has parties
	held     bool
}

// A childSample is the gauges and counts of a configured child.
type childSample struct {
	in, out                     traffic
	drops                       *[dataplane.NumDrops]uint64 // nil: none
	rekeys                      uint64
	mtu                         int32
	up, narrow, grouped, active bool
}

type traffic struct{ packets, octets uint64 }

// A heldSample is what the guard dropped of a child.
type heldSample struct {
	peer, child string
	drops       guard.Drops
}

// sample gathers the numbers. It asks the engine and the packet path part by part, so that neither
// they nor what waits for them is kept for long.
func (d *Daemon) sample(ctx context.Context) (*sample, error) {
	s := newSample(d.config())
	stands, held := d.guard.status()
	var err error
	s.counters, err = d.ike.Gauges(ctx, func(g *ike.Gauges) { s.add(g, d.plane, held) })
	if err != nil {
		return nil, stopping(err)
	}
	s.uptime, s.guard = seconds(d.now().Sub(d.started)), stands
	s.verdicts = d.health.verdicts()
	d.addManual(s, held)
	d.addCounters(s.counters)
	return s, nil
}

func newSample(cfg *config.Config) *sample {
	s := &sample{cfg: cfg, peers: make([]peerSample, len(cfg.Peers))}
	n := 0
	for i := range cfg.Peers {
		s.peers[i] = peerSample{children: n, manual: len(cfg.Peers[i].Children) == 0}
		n += len(cfg.Peers[i].Order)
	}
	s.children = make([]childSample, n)
	return s
}

// add adds a part of the engine's gauges, and the counts of its children. What a reload has added
// or removed since the sample was begun is left out.
func (s *sample) add(g *ike.Gauges, plane packetPath, held map[protect.ID]guard.Drops) {
	rest := g.Children
	for i := range g.Peers {
		p := &g.Peers[i]
		own := rest[:p.Children]
		rest = rest[p.Children:]
		at := s.place(p.Name)
		if at < 0 || s.peers[at].known && s.peers[at].place != p.Place { // after a reload it may come again
			continue
		}
		s.addPeer(at, p)
		next := 0
		for j := range own {
			order := s.cfg.Peers[at].Order
			if next = indexFrom(order, own[j].Name, next); next < 0 {
				next = 0
				continue
			}
			s.children[s.peers[at].children+next].add(&own[j], plane)
			s.addHeld(at, next, own[j].Policy, held)
		}
	}
}

// place returns the place of a peer in the configuration, or -1. Most come in its order.
func (s *sample) place(name string) int {
	list := s.cfg.Peers
	for at := s.last; at < min(s.last+2, len(list)); at++ {
		if list[at].Name == name {
			s.last = at
			return at
		}
	}
	at, ok := s.cfg.Place(name)
	if !ok {
		return -1
	}
	s.last = at
	return at
}

// indexFrom is slices.Index that looks at the elements from a place on first. The place may be the
// end.
func indexFrom(list []string, want string, from int) int {
	if i := slices.Index(list[from:], want); i >= 0 {
		return from + i
	}
	return slices.Index(list[:from], want)
}

func (s *sample) addPeer(at int, p *ike.PeerGauges) {
	to := &s.peers[at]
	if !to.known || p.State == ike.PeerEstablished {
		to.state = p.State
	}
	to.known, to.place, to.party, to.parties = true, p.Place, p.IsParty, p.Connected
	to.held = p.Held && !p.IsParty
}

func (c *childSample) add(g *ike.ChildGauges, plane packetPath) {
	n, _ := plane.PolicyCounts(g.Policy)
	if !g.Carries {
		n.MTU = 0
	}
	c.count(&n)
	c.rekeys += uint64(g.Rekeys)
	c.up, c.narrow = c.up || g.Up, c.narrow || g.Narrow
	c.grouped, c.active = c.grouped || g.Grouped, c.active || g.Active
}

// count adds the counts of a policy.
func (c *childSample) count(n *dataplane.PolicyCounts) {
	c.in.packets, c.in.octets = c.in.packets+n.PacketsIn, c.in.octets+n.BytesIn
	c.out.packets, c.out.octets = c.out.packets+n.PacketsOut, c.out.octets+n.BytesOut
	c.mtu = max(c.mtu, int32(n.MTU))
	for i, count := range n.Drops {
		if count == 0 {
			continue
		}
		if c.drops == nil {
			c.drops = new([dataplane.NumDrops]uint64)
		}
		c.drops[i] += count
	}
}

// addHeld notes what the guard dropped of a child. It counts no parties (guardDrops).
func (s *sample) addHeld(peer, child int, policy ipsec.PolicyID, held map[protect.ID]guard.Drops) {
	if n := held[protect.ID(policy)]; n != (guard.Drops{}) {
		p := &s.cfg.Peers[peer]
		s.held = append(s.held, heldSample{p.Name, p.Order[child], n})
	}
}

// addManual adds the manual children, which the engine does not have.
func (d *Daemon) addManual(s *sample, held map[protect.ID]guard.Drops) {
	d.mu.Lock()
	manual := d.manual // replaced as a whole
	d.mu.Unlock()
	for i := range s.cfg.Peers {
		p := &s.cfg.Peers[i]
		for j := range p.Manual {
			at := slices.Index(p.Order, p.Manual[j].Name)
			sa := manual[ipsec.PolicyName{Peer: p.Name, Child: p.Manual[j].Name}]
			n, _ := d.plane.PolicyCounts(sa.sa.Policy)
			c := &s.children[s.peers[i].children+at]
			c.count(&n)
			c.up = sa.id != 0
			s.addHeld(i, at, sa.sa.Policy, held)
		}
	}
}
