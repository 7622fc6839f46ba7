package selector

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// A cell is a selector in the form that is quickest to compare, for the long lists of a peer: the
// product of ranges of addresses, protocols and ports. ANY ports include opaquePort, which lies
// above all ports, and OPAQUE is that alone.
type cell struct {
	family               int // octets of an address
	start, end           number
	protoStart, protoEnd uint8
	portStart, portEnd   uint32
}

// opaquePort stands for invisible ports. It lies above all ports, so that ANY includes it and no
// other range does.
const opaquePort = MaxPort + 1

// A number is an address.
type number struct{ high, low uint64 }

func numberOf(a netip.Addr) number {
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a number) less(b number) bool { return a.high < b.high || a.high == b.high && a.low < b.low }

func (a number) compare(b number) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

func least(a, b number) number {
	if b.less(a) {
		return b
	}
	return a
}

func most(a, b number) number {
	if a.less(b) {
		return b
	}
	return a
}

func (a number) next() number {
	low, carry := bits.Add64(a.low, 1, 0)
	return number{a.high + carry, low}
}

func (a number) prev() number {
	low, borrow := bits.Sub64(a.low, 1, 0)
	return number{a.high - borrow, low}
}

func cellOf(s Selector) cell {
	c := cell{family: s.Start.BitLen(), start: numberOf(s.Start), end: numberOf(s.End), protoStart: s.Protocol, protoEnd: s.Protocol, portStart: uint32(s.StartPort), portEnd: uint32(s.EndPort)}
	if s.Protocol == ProtoAny {
		c.protoEnd = 255
	}
	switch {
	case s.AnyPorts():
		c.portEnd = opaquePort
	case s.OpaquePorts():
		c.portStart, c.portEnd = opaquePort, opaquePort
	}
	return c
}

func cellsOf(list []Selector) []cell {
	cells := make([]cell, len(list))
	for i, s := range list {
		cells[i] = cellOf(s)
	}
	return cells
}

// covers is Selector.Covers.
func (c *cell) covers(o *cell) bool {
	return c.family == o.family && !o.start.less(c.start) && !c.end.less(o.end) &&
		c.protoStart <= o.protoStart && o.protoEnd <= c.protoEnd && c.portStart <= o.portStart && o.portEnd <= c.portEnd
}

// overlaps is Selector.Overlaps.
func (c *cell) overlaps(o *cell) bool {
	return c.family == o.family && !o.end.less(c.start) && !c.end.less(o.start) &&
		c.protoStart <= o.protoEnd && o.protoStart <= c.protoEnd && c.portStart <= o.portEnd && o.portStart <= c.portEnd
}

// A Work is what comparisons of a peer's selectors may still cost. One comparison takes a few
// nanoseconds, and a cut of a selector into pieces counts as cutWork of them.
type Work struct{ left int }

// NewWork returns the work of n comparisons.
func NewWork(n int) *Work { return &Work{n} }

// Left reports whether nothing has failed for want of work.
func (w *Work) Left() bool { return w.left >= 0 }

// spend takes n comparisons, and reports whether there were as many.
func (w *Work) spend(n int) bool {
	w.left -= n
	return w.left >= 0
}

const cutWork = 16

// A Proposal is a peer's list of selectors, prepared for the comparison with many policies.
type Proposal struct {
	cells []cell
	hulls []cell // one of each family: what covers these covers all cells
}

// Prepare returns the list as a Proposal.
func Prepare(list []Selector) Proposal {
	p := Proposal{cells: cellsOf(list)}
	for i := range p.cells {
		p.enclose(&p.cells[i])
	}
	return p
}

// enclose widens the hull of the cell's family.
func (p *Proposal) enclose(c *cell) {
	for i := range p.hulls {
		if h := &p.hulls[i]; h.family == c.family {
			h.start, h.end = least(h.start, c.start), most(h.end, c.end)
			h.protoStart, h.protoEnd = min(h.protoStart, c.protoStart), max(h.protoEnd, c.protoEnd)
			h.portStart, h.portEnd = min(h.portStart, c.portStart), max(h.portEnd, c.portEnd)
			return
		}
	}
	p.hulls = append(p.hulls, *c)
}

// First returns the proposal of the first selector alone.
func (p Proposal) First() Proposal {
	first := p.cells[:min(1, len(p.cells))]
	return Proposal{first, first}
}

// Overlaps reports whether a selector of the proposal and one of the policy have a packet in
// common. It is false if the work does not suffice.
func (p Proposal) Overlaps(policy []Selector, w *Work) bool {
	for _, s := range policy {
		c := cellOf(s)
		for i := range p.cells {
			if !w.spend(1) {
				return false
			}
			if p.cells[i].overlaps(&c) {
				return true
			}
		}
	}
	return false
}

// Within reports whether the policy selects every packet that the proposal selects, as Subset does.
// It is false if the work does not suffice.
func (p Proposal) Within(policy []Selector, w *Work) bool {
	cells := cellsOf(policy)
	if within(p.hulls, cells, w) {
		return true
	}
	for i := range p.cells {
		if !p.cells[i].coveredByOne(cells, w) && !p.cells[i].coveredBy(cells, w) {
			return false
		}
	}
	return true
}

// within reports whether each of list is covered by a single one of the cells.
func within(list, cells []cell, w *Work) bool {
	for i := range list {
		if !list[i].coveredByOne(cells, w) {
			return false
		}
	}
	return true
}

// coveredByOne reports whether a single one of the cells covers c.
func (c *cell) coveredByOne(cells []cell, w *Work) bool {
	for i := range cells {
		if !w.spend(1) {
			return false
		}
		if cells[i].covers(c) {
			return true
		}
	}
	return false
}
