package dataplane

import (
	"slices"
	"time"

	"culvert/esp"
	"culvert/internal/ipsec"
)

// A ChildStats holds the counts of a Child SA pair, or of all the pairs of a policy.
type ChildStats struct {
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64    // of inner packets
	LastIn, LastOut       time.Time // zero: never
	Drops                 map[string]uint64
	MTU                   int // the largest inner packet sent unfragmented; 0: no SA
	// SourcePort is, of a single pair, the port of its worker's own from which it is sent; 0: it is
	// sent from the port of its path, for the reason SourceWhy, or "" if there never is another.
	SourcePort uint16
	SourceWhy  string
	// Of a policy: what was sent since a packet came, the largest outer packet that its path takes
	// as far as is known, and the MTU of the path's first hop. 0: there is no SA.
	Unheard          Unheard
	PathMTU, LinkMTU int
}

// ChildStats returns the counts of an installed pair. Any goroutine may call it.
func (p *Plane) ChildStats(id ipsec.ChildID) (ChildStats, bool) {
	c := p.pairByID(id)
	if c == nil {
		return ChildStats{}, false
	}
	n := c.counts()
	st := n.stats(int(c.mtu.Load()))
	st.SourcePort, st.SourceWhy = p.sentFrom(c)
	return st, true
}

// PolicyStats returns the counts of a policy since it was set: of all its pairs, removed ones
// included, so that a rekey does not show in them. The MTU is that of the pair in use for sending,
// else of the newest. Any goroutine may call it.
func (p *Plane) PolicyStats(policy ipsec.PolicyID) (ChildStats, bool) {
	n, mtu, ok := p.policyCounts(policy)
	if !ok {
		return ChildStats{}, false
	}
	st := n.stats(mtu)
	p.addState(policy, &st)
	return st, true
}

// addState adds what is known of a policy beside its counts.
func (p *Plane) addState(policy ipsec.PolicyID, st *ChildStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[policy]
	if s == nil {
		return
	}
	st.Unheard = s.silence.unheardOf(s.sent())
	if c := s.sas.Load().first(); c != nil && c.path != nil {
		st.PathMTU, st.LinkMTU = c.path.search.MTU(), int(c.path.link)
	}
}

// A PolicyCounts is a ChildStats that takes no memory of its own.
type PolicyCounts struct {
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64
	MTU                   int
	Drops                 [NumDrops]uint64 // by the reasons that DropName names
}

// NumDrops is the number of reasons that are counted for each policy.
const NumDrops = int(numChildReasons)

// DropName returns the name that ChildStats has for a reason.
func DropName(reason int) string { return reasonNames[reason].child }

// PolicyCounts is PolicyStats for those who ask for many policies. It allocates nothing.
func (p *Plane) PolicyCounts(policy ipsec.PolicyID) (PolicyCounts, bool) {
	n, mtu, ok := p.policyCounts(policy)
	return PolicyCounts{n.in.Packets, n.out.Packets, n.in.Octets, n.out.Octets, mtu, n.drops}, ok
}

// policyCounts holds the lock for this policy only.
func (p *Plane) policyCounts(policy ipsec.PolicyID) (sum counts, mtu int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[policy]
	if s == nil {
		return counts{}, 0, false
	}
	sum = s.past
	for _, c := range s.pairs {
		sum.add(c.counts())
		mtu = int(c.mtu.Load())
	}
	if c := s.sas.Load().first(); c != nil {
		mtu = int(c.mtu.Load())
	}
	return sum, mtu, true
}

// LastTraffic returns when the pair's SAs last carried an authentic packet, to about a millisecond,
// and what the peer has answered. Any goroutine may call it.
func (p *Plane) LastTraffic(id ipsec.ChildID) (ipsec.Traffic, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.pairs[id]
	if c == nil {
		return ipsec.Traffic{}, false
	}
	t := ipsec.Traffic{In: c.lastIn.time(), Out: c.lastOut.time()}
	if s := p.slots[c.sa.Policy]; s != nil {
		t.Answered = stampTime(s.answered)
	}
	return t, true
}

func (p *Plane) pairByID(id ipsec.ChildID) *pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pairs[id]
}

// A counts is a compact ChildStats: what a policy keeps of its removed pairs.
type counts struct {
	in, out         esp.Usage
	lastIn, lastOut int64 // as in stamp
	drops           [numChildReasons]uint64
}

func (c *pair) counts() counts {
	n := counts{lastIn: c.lastIn.Load(), lastOut: c.lastOut.Load()}
	if c.in != nil {
		n.in = c.in.Used()
	}
	n.out = c.sentSoFar()
	if b := c.before; b != nil { // what another pair has counted
		n.in = esp.Usage{Packets: n.in.Packets - b.Received.Packets, Octets: n.in.Octets - b.Received.Octets}
	}
	for r := range c.drops {
		n.drops[r] = c.drops[r].Load()
	}
	return n
}

// sentSoFar returns what the pair has sent, without what another pair has counted, and numbers that
// were left out.
func (c *pair) sentSoFar() (sent esp.Usage) {
	if c.out != nil {
		sent = c.out.Used()
	}
	if b := c.before; b != nil {
		sent = esp.Usage{Packets: sent.Packets - b.Sent.Packets, Octets: sent.Octets - b.Sent.Octets}
	}
	return sent
}

// add adds the counts of another pair.
func (n *counts) add(more counts) {
	n.in.Packets, n.in.Octets = n.in.Packets+more.in.Packets, n.in.Octets+more.in.Octets
	n.out.Packets, n.out.Octets = n.out.Packets+more.out.Packets, n.out.Octets+more.out.Octets
	n.lastIn, n.lastOut = max(n.lastIn, more.lastIn), max(n.lastOut, more.lastOut)
	for r := range more.drops {
		n.drops[r] += more.drops[r]
	}
}

func (n *counts) stats(mtu int) ChildStats {
	st := ChildStats{
		PacketsIn: n.in.Packets, BytesIn: n.in.Octets, PacketsOut: n.out.Packets, BytesOut: n.out.Octets,
		LastIn: stampTime(n.lastIn), LastOut: stampTime(n.lastOut), Drops: make(map[string]uint64, numChildReasons), MTU: mtu,
	}
	for r, count := range n.drops {
		st.Drops[reasonNames[r].child] = count
	}
	return st
}

// join and leave maintain the list of the slot's pairs and the counts of removed ones. A worker
// that is using the pair at that moment may still count a batch that no sum then includes. Plane.mu
// is held.
func (s *slot) join(c *pair) { s.pairs = append(s.pairs, c) }

func (s *slot) leave(c *pair) {
	s.pairs = slices.DeleteFunc(s.pairs, func(q *pair) bool { return q == c })
	s.past.add(c.counts())
}
