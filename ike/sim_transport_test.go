package ike

import (
	"math/rand/v2"
	"slices"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// configureTransport makes a child of some lives one between the two sides' own addresses, as each
// sees them, and in transport mode. Such a child follows no side to another address.
func (s *simulation) configureTransport(p *testPair) {
	draw := rand.New(seededRand(p.seed, "transport"))
	if draw.Float64() >= 0.2 || s.roams || s.entries || p.right.peers[0].Parties {
		return
	}
	s.what += ", transport mode"
	n := draw.IntN(len(p.left.peers[0].Children))
	left, right := &p.left.peers[0].Children[n], &p.right.peers[0].Children[n]
	family := 0
	if s.sixes {
		family = 1
	}
	leftSeen, rightSeen := p.left.addrs[family], p.right.addrs[family]
	if b := p.left.nat; b != nil {
		leftSeen = b.public
	}
	if b := p.right.nat; b != nil {
		rightSeen = b.public
	}
	left.Local, left.Remote = []selector.Selector{selector.FromAddr(p.left.addrs[family])}, []selector.Selector{selector.FromAddr(rightSeen)}
	right.Local, right.Remote = []selector.Selector{selector.FromAddr(p.right.addrs[family])}, []selector.Selector{selector.FromAddr(leftSeen)}
	for _, c := range []*Child{left, right} {
		c.Mode, c.Children = ModeTransport, ChildrenOne
	}
}

// betweenHosts reports whether a child is one that configureTransport has made.
func betweenHosts(c *Child) bool {
	_, ok := selector.Host(c.Local)
	_, ok2 := selector.Host(c.Remote)
	return ok && ok2
}

// sameTraffic reports whether the two sides of a pair carry the same: the same selectors or, in
// transport mode, the addresses that each sees, of which the other one has the view.
func sameTraffic(mine, theirs *ipsec.ChildSA) bool {
	m, o := mine.Hosts, theirs.Hosts
	if m.Transport() || o.Transport() {
		return m.SeenLocal == o.Remote && m.SeenRemote == o.Local && o.SeenLocal == m.Remote && o.SeenRemote == m.Local
	}
	return slices.Equal(mine.LocalTS, theirs.RemoteTS)
}
