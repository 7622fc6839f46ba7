package selector

import (
	"net/netip"
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
