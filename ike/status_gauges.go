package ike

import (
	"culvert/ike/child"
	"culvert/internal/ipsec"
)

// PeerGauges is what metrics need of a PeerStatus.
type PeerGauges struct {
	Name      string
	Place     uint64 // of the configured peer; a peer of the same name that replaced it may have another
	Connected int    // parties, of a peer with many; 0 also if none is connected
	State     PeerState
	Held      bool // an operator holds it down
	IsParty   bool // it is one of many parties of the peer
	Children  int  // how many of Gauges.Children are its own
}

// ChildGauges is what metrics need of a ChildStatus.
type ChildGauges struct {
	Name    string
	Policy  ipsec.PolicyID
	Rekeys  int
	Up      bool // it has an SA
	Carries bool // false also if its SA is about to go
	Narrow  bool
	Grouped bool // it is one of several children with the same networks
	Active  bool // of these, packets are sent through it
}

// Gauges is a part of a snapshot: the peers in order, and the children of all of them, those of the
// first peer first.
type Gauges struct {
	Peers    []PeerGauges
	Children []ChildGauges
}

// GaugesPart is StatusPart with a part of each status. It replaces the contents of out, whose
// memory it uses, so that many parts cost no more memory than one.
func (e *Engine) GaugesPart(from Mark, n int, out *Gauges) (next Mark) {
	out.Peers, out.Children = out.Peers[:0], out.Children[:0]
	for p := range e.peers.parties(from) {
		if len(out.Peers) == n {
			return p.mark()
		}
		g := PeerGauges{Name: p.cfg.Name, Place: p.place, Held: p.hold() != nil, IsParty: p.isOne(), Children: len(p.policies)}
		if g.IsParty {
			g.Connected = p.present()
		}
		if s := p.shown(); s != nil {
			g.State = s.peerState()
		}
		out.Peers = append(out.Peers, g)
		for _, pol := range p.policies {
			out.Children = append(out.Children, gaugesOf(pol))
		}
	}
	return Mark{}
}

func gaugesOf(pol *child.Policy) ChildGauges {
	g := ChildGauges{Name: pol.Settings.Name, Policy: pol.ID, Rekeys: pol.Rekeys()}
	if p := pol.Best(); p != nil {
		g.Up, g.Carries, g.Narrow = true, p.SA.SPIIn != 0, pol.Narrow()
	}
	if group := ownerOf(pol).e.standby.of[pol.ID]; group != nil && len(group.members) > 1 {
		g.Grouped, g.Active = true, group.active != nil && group.active.pol == pol
	}
	return g
}
