package selector

import (
	"cmp"
	"net/netip"
	"slices"
)

// MaxSelectors is the most selectors that Narrow returns: a TS payload counts them in one octet
// (RFC 7296, Section 3.13).
const MaxSelectors = 255

// Bounds of the work of Narrow on the proposal of an authenticated but hostile peer.
const (
	maxIntersections = 4096
	maxComparisons   = 1 << 17 // beyond it, selectors that others cover are left in
)

// Narrow returns the selectors that a responder with the given policy accepts of proposed: the
// intersection of both, in the order of proposed, then in that of policy, without selectors that
// another one covers. It returns nil if there are none: TS_UNACCEPTABLE. Invalid selectors are
// ignored. TSi and TSr are narrowed independently: a packet must match both.
//
// The initiator's first choice, the selector of the packet that asked for the SA, is within the
// result whenever policy allows it (RFC 7296, Section 2.9), since nothing that both sides contain
// is omitted. It comes first, so no bound cuts it off.
func Narrow(proposed, policy []Selector) []Selector {
	m := maximal{work: NewWork(maxComparisons)}
	found := 0
	theirs, ours := cellsOf(proposed), cellsOf(policy)
	for i := range theirs {
		for j := range ours {
			if !theirs[i].overlaps(&ours[j]) {
				continue
			}
			both, ok := proposed[i].Intersect(policy[j])
			if !ok || !both.Valid() {
				continue
			}
			if m.insert(both); len(m.list) == MaxSelectors {
				return m.list
			}
			if found++; found == maxIntersections {
				return m.list
			}
		}
	}
	return m.list
}

// maximal is a list of selectors of which none covers another, as far as the work suffices.
type maximal struct {
	list  []Selector
	cells []cell
	work  *Work
}

// insert adds s unless the list covers it, and drops the selectors that s covers. It puts s in the
// place of the first of these, so that the part of the list with the initiator's first choice stays
// first.
func (m *maximal) insert(s Selector) {
	c := cellOf(s)
	if !m.work.spend(2 * len(m.cells)) {
		m.list, m.cells = append(m.list, s), append(m.cells, c)
		return
	}
	covered := false
	for i := range m.cells {
		if m.cells[i].covers(&c) {
			return
		}
		covered = covered || c.covers(&m.cells[i])
	}
	if !covered {
		m.list, m.cells = append(m.list, s), append(m.cells, c)
		return
	}
	list, cells, placed := m.list[:0], m.cells[:0], false
	for i := range m.cells {
		switch {
		case !c.covers(&m.cells[i]):
			list, cells = append(list, m.list[i]), append(cells, m.cells[i])
		case !placed:
			list, cells, placed = append(list, s), append(cells, c), true
		}
	}
	m.list, m.cells = list, cells
}

// maxJoins bounds the rounds in which Normalize joins selectors. Each joins all that it can, first
// by addresses and then by ports, so that real policies need two.
const maxJoins = 8

// Normalize returns fewer selectors for the same set of packets: it drops covered ones, and joins
// those that touch or overlap in addresses (or in ports) and are otherwise equal. Each stands where
// its first part stood. list is not changed.
func Normalize(list []Selector) []Selector {
	m := maximal{work: NewWork(2 * maxComparisons)}
	for _, s := range list {
		m.insert(s)
	}
	out := m.list
	for range maxJoins {
		n := len(out)
		if out = joined(joined(out, byAddresses), byPorts); len(out) == n {
			break
		}
	}
	return out
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

// Subset reports whether b selects every packet that a selects; one selector of a may need several
// of b. An initiator checks a responder's answer with it, and both peers check a rekey (RFC 7296,
// Section 2.9.2). An empty a is a subset of everything: callers that must refuse it check that
// themselves.
//
// Subset returns false once its work exceeds a bound that no real policy comes near.
func Subset(a, b []Selector) bool { return Prepare(a).Within(b, NewWork(maxWork)) }

// Equal reports whether a and b select the same packets.
func Equal(a, b []Selector) bool { return Subset(a, b) && Subset(b, a) }

// Bounds of Subset against the lists of an authenticated but hostile peer, with which its work
// would be cubic: maxPieces limits the pieces of one selector, maxWork the comparisons and cuts of
// all selectors. The comparisons of 255 selectors with 255 others take a third of that.
const (
	maxPieces = 4096
	maxWork   = 3 << 16
)

// coveredBy subtracts each of list from s, and reports whether nothing remains. It charges its cuts
// to the work, and returns false when that is used up.
func coveredBy(s Selector, list []Selector, work *Work) bool {
	left := []box{boxOf(s)}
	for _, t := range list {
		if !s.Overlaps(t) {
			continue
		}
		if !work.spend(cutWork * len(left)) {
			return false
		}
		cut := boxOf(t)
		var rest []box
		for _, b := range left {
			rest = b.minus(cut, rest)
		}
		if len(rest) == 0 {
			return true
		}
		if len(rest) > maxPieces {
			return false
		}
		left = rest
	}
	return false
}

// A box is a selector as a set: the product of inclusive ranges of addresses, protocols and ports.
type box struct {
	start, end           netip.Addr
	protoStart, protoEnd int
	portStart, portEnd   int
}

// opaquePort stands for invisible ports. It lies above all ports, so that ANY includes it and no
// other range does.
const opaquePort = MaxPort + 1

func boxOf(s Selector) box {
	b := box{s.Start, s.End, int(s.Protocol), int(s.Protocol), int(s.StartPort), int(s.EndPort)}
	if s.Protocol == ProtoAny {
		b.protoEnd = 255
	}
	if s.AnyPorts() {
		b.portEnd = opaquePort
	}
	if s.OpaquePorts() {
		b.portStart, b.portEnd = opaquePort, opaquePort
	}
	return b
}

// minus appends to rest the parts of b outside cut: dimension by dimension, those below and above
// it.
func (b box) minus(cut box, rest []box) []box {
	if b.end.Less(cut.start) || cut.end.Less(b.start) || b.protoEnd < cut.protoStart || cut.protoEnd < b.protoStart ||
		b.portEnd < cut.portStart || cut.portEnd < b.portStart {
		return append(rest, b)
	}
	if b.start.Less(cut.start) {
		part := b
		part.end, b.start = cut.start.Prev(), cut.start
		rest = append(rest, part)
	}
	if cut.end.Less(b.end) {
		part := b
		part.start, b.end = cut.end.Next(), cut.end
		rest = append(rest, part)
	}
	if b.protoStart < cut.protoStart {
		part := b
		part.protoEnd, b.protoStart = cut.protoStart-1, cut.protoStart
		rest = append(rest, part)
	}
	if cut.protoEnd < b.protoEnd {
		part := b
		part.protoStart, b.protoEnd = cut.protoEnd+1, cut.protoEnd
		rest = append(rest, part)
	}
	if b.portStart < cut.portStart {
		part := b
		part.portEnd, b.portStart = cut.portStart-1, cut.portStart
		rest = append(rest, part)
	}
	if cut.portEnd < b.portEnd {
		part := b
		part.portStart = cut.portEnd + 1
		rest = append(rest, part)
	}
	return rest
}
