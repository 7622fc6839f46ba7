package ike

import (
	"slices"

	"culvert/ike/wire"
)

// This file has simulations in which each side has two entries for the other, with one identity:
// the one at its IPv4 address, the other one at its IPv6 address. What happens to one entry, such
// as an INITIAL_CONTACT or a restart that it finds, is nothing to the other one's tunnels.

// simEntriesLeave are the settings by which a side would take a call for the other entry's.
var simEntriesLeave = []string{"LocalID", "RemoteID", "Local", "Children"}

// configureEntries splits the children between two entries.
func (s *simulation) configureEntries(p *testPair) {
	s.what += ", two entries"
	s.entries = true
	for _, side := range []*testSide{p.left, p.right} {
		first := &side.peers[0]
		first.Local = side.addrs[0]
		second := *first
		second.Name += "6"
		second.Local, second.Remote = side.addrs[1], side.other().addrs[1:]
		second.Proposals = slices.Clone(first.Proposals)
		if len(first.Children) > 1 {
			first.Children, second.Children = slices.Clone(first.Children[:1]), slices.Clone(first.Children[1:])
		} else {
			c := testChild(side, "b", 1)
			like := first.Children[0]
			c.Proposals, c.Lifetime, c.Start = slices.Clone(like.Proposals), like.Lifetime, like.Start
			second.Children = []Child{c}
		}
		side.peers = append(side.peers, second)
	}
}

// mayHaveEntries reports whether a life may have two entries: an address tells whose call it is,
// and nothing else is special.
func (s *simulation) mayHaveEntries(p *testPair) bool {
	return !s.alone && !s.sixes && p.left.nat == nil && len(p.right.peers[0].Remote) > 0 && p.right.peers[0].RemoteID.Type == wire.IDFQDN
}
