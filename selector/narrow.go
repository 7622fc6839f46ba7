package selector

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
