package selector

import (
	"cmp"
	"slices"
)

// maxJoins bounds the rounds in which Normalize joins selectors. Each joins all that it can, first
// by addresses and then by ports, so that real policies need two.
const maxJoins = 8

// Normalize returns fewer selectors for the same set of packets: it drops covered ones, and joins
// those that touch or overlap in addresses (or in ports) and are otherwise equal. Each stands where
// its first part stood. list is not changed.
func Normalize(list []Selector) []Selector {
	out := uncovered(list)
	for range maxJoins {
		n := len(out)
		if out = joined(joined(out, byAddresses), byPorts); len(out) == n {
			break
		}
	}
	return out
}

// uncovered returns a copy of the list without the selectors that others cover, as far as a bound
// on the work allows. Most lists have none that overlap in addresses, or none that overlap in
// ports, which is found by sorting.
func uncovered(list []Selector) []Selector {
	cells := cellsOf(list)
	if apartInAddresses(cells) || apartInPorts(cells) {
		return slices.Clone(list)
	}
	m := maximal{work: NewWork(2 * maxComparisons)}
	for _, s := range list {
		m.insert(s)
	}
	return m.list
}

// apartInAddresses reports whether no two cells have an address in common, and sorts them.
func apartInAddresses(cells []cell) bool {
	slices.SortFunc(cells, func(a, b cell) int { return a.start.compare(b.start) })
	for i := 1; i < len(cells); i++ {
		if !cells[i-1].end.less(cells[i].start) {
			return false
		}
	}
	return true
}

// apartInPorts reports whether no two cells have a port in common, and sorts them.
func apartInPorts(cells []cell) bool {
	slices.SortFunc(cells, func(a, b cell) int { return cmp.Compare(a.portStart, b.portStart) })
	for i := 1; i < len(cells); i++ {
		if cells[i-1].portEnd >= cells[i].portStart {
			return false
		}
	}
	return true
}

// byAddresses and byPorts order selectors so that those that can be joined, by their addresses or
// by their ports, follow each other.
func byAddresses(a, b Selector) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.StartPort, b.StartPort), cmp.Compare(a.EndPort, b.EndPort), a.Start.Compare(b.Start), a.End.Compare(b.End))
}

func byPorts(a, b Selector) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.StartPort, b.StartPort), cmp.Compare(a.EndPort, b.EndPort))
}

// joined returns the list with each selector joined with those that follow it in an order. It may
// change list.
func joined(list []Selector, order func(a, b Selector) int) []Selector {
	if len(list) < 2 {
		return list
	}
	at := make([]int, len(list))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(i, j int) int { return order(list[i], list[j]) })
	gone := make([]bool, len(list))
	last := at[0]
	for _, i := range at[1:] {
		s, ok := join(list[last], list[i])
		if !ok {
			last = i
			continue
		}
		first := min(last, i)
		gone[max(last, i)] = true
		list[first], last = s, first
	}
	out := list[:0]
	for i, s := range list {
		if !gone[i] {
			out = append(out, s)
		}
	}
	return out
}

// join returns one selector for the packets of both. ok is false unless the two differ in addresses
// alone or in ports alone and leave no gap.
func join(a, b Selector) (Selector, bool) {
	if a.Protocol != b.Protocol || a.Is6() != b.Is6() {
		return Selector{}, false
	}
	sameAddrs := a.Start == b.Start && a.End == b.End
	samePorts := a.StartPort == b.StartPort && a.EndPort == b.EndPort
	switch {
	case samePorts && addrsTouch(a, b):
		if b.Start.Less(a.Start) {
			a.Start = b.Start
		}
		if a.End.Less(b.End) {
			a.End = b.End
		}
		return a, true
	case sameAddrs && portsTouch(a, b):
		a.StartPort, a.EndPort = min(a.StartPort, b.StartPort), max(a.EndPort, b.EndPort)
		return a, true
	}
	return Selector{}, false
}

func addrsTouch(a, b Selector) bool {
	if b.Start.Less(a.Start) {
		a, b = b, a
	}
	next := a.End.Next() // after the last address: invalid, which is less than any
	return a.Contains(b.Start) || next == b.Start
}

// portsTouch reports whether the port ranges overlap or are adjacent. It excludes OPAQUE, and two
// parts that would make up 0-65535: that is ANY, which also covers packets without visible ports.
func portsTouch(a, b Selector) bool {
	if a.OpaquePorts() || b.OpaquePorts() || a.AnyPorts() || b.AnyPorts() {
		return false
	}
	if b.StartPort < a.StartPort {
		a, b = b, a
	}
	whole := a.StartPort == 0 && max(a.EndPort, b.EndPort) == MaxPort
	return !whole && int(b.StartPort) <= int(a.EndPort)+1
}
