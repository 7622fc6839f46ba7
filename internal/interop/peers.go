package interop

import "slices"

// A Peer is an implementation that culvert is run beside, in one of its forms.
type Peer struct {
	Name string
	Form string // where it comes from and what carries its packets
	// Where it runs: on this host, where `make test` runs a part of it, from a Debian of its own,
	// or in the kernel of a guest.
	Where Where
	// UDPOnly is whether it sends ESP in UDP only, and says that there is a NAT at its side.
	UDPOnly bool
	// ESP and IKE are the proposals with each algorithm that it shares with culvert.
	ESP, IKE []string
	// Limits are what cannot be run with it.
	Limits []Limit
}

// Where is where a peer runs.
type Where int

const (
	Here   Where = iota // a package of this host
	Chroot              // a Debian in a folder
	Guest               // a kernel in an emulator
)

// A Limit is something that cannot be run with a peer.
type Limit struct {
	What, Why string
	cell      func(Cell) bool // which cells it removes; nil: none of the axes has it
}

// lacks returns why a peer cannot run a cell; empty: it can.
func (p Peer) lacks(c Cell) string {
	if why := c.impossible(); why != "" {
		return why
	}
	for _, l := range p.Limits {
		if l.cell != nil && l.cell(c) {
			return l.Why
		}
	}
	return ""
}

// Cells returns the cells of the peer: each pair of values of the axes that it has occurs in one,
// in a guest those of the short form and each pair with transport mode; and each algorithm in one
// of its own.
func (p Peer) Cells() []Cell {
	cells, _ := pairwise(p.product())
	if p.Where == Guest {
		hosts := slices.DeleteFunc(p.product(), func(c Cell) bool { return c.Feature != Transport })
		cells = cover(p.ShortCells(), hosts, len(axes))
	}
	return append(cells, p.Algorithms()...)
}

// ShortCells returns the cells that `make test` runs: each value of every axis occurs, and each
// pair of values but those with a feature.
func (p Peer) ShortCells() []Cell {
	cells, short := pairwise(p.product())
	return cells[:short]
}

// Algorithms returns the cells of single algorithms.
func (p Peer) Algorithms() (cells []Cell) {
	for _, proposal := range p.ESP {
		cells = append(cells, Cell{Peer: p.Name, Algorithm: "ESP " + proposal})
	}
	for _, proposal := range p.IKE {
		cells = append(cells, Cell{Peer: p.Name, Algorithm: "IKE " + proposal})
	}
	return cells
}

// Find returns the peer of a name.
func Find(name string) (Peer, bool) {
	i := slices.IndexFunc(Peers, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, false
	}
	return Peers[i], true
}
