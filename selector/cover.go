package selector

import "slices"

// Bounds of Subset against the lists of an authenticated but hostile peer, with which its work
// would be cubic: maxPieces limits the pieces of one selector, maxWork the comparisons and cuts of
// all selectors. The comparisons of 255 selectors with 255 others take a third of that.
const (
	maxPieces = 4096
	maxWork   = 3 << 16
)

// coveredBy subtracts each of list from c, and reports whether nothing remains. It charges its cuts
// to the work, and returns false when that is used up. The cells that are as wide as c in protocols
// and ports leave gaps of addresses. A part of these that no other cell cuts decides: what is not
// covered is mostly found with the first.
func (c *cell) coveredBy(list []cell, work *Work) bool {
	var wide, cuts []cell
	for i := range list {
		switch o := &list[i]; {
		case !c.overlaps(o):
		case o.asWideAs(c):
			wide = append(wide, *o)
		default:
			cuts = append(cuts, *o)
		}
	}
	if !work.spend(len(list) + cutWork*len(wide)) {
		return false
	}
	return pieces(c.gaps(wide)).coveredBy(cuts, work)
}

// pieces are parts of a selector.
type pieces []cell

// coveredBy reports whether nothing remains of the pieces when each of cuts is subtracted.
func (left pieces) coveredBy(cuts []cell, work *Work) bool {
	next := make([]int, len(left)) // of each piece: the first of cuts that is not yet subtracted
	for len(left) > 0 {
		last := len(left) - 1
		c, i := left[last], next[last]
		for i < len(cuts) && !c.overlaps(&cuts[i]) {
			i++
		}
		if i == len(cuts) || !work.spend(cutWork+i-next[last]) {
			return false
		}
		left = c.minus(&cuts[i], left[:last])
		for next = next[:last]; len(next) < len(left); {
			next = append(next, i+1)
		}
		if len(left) > maxPieces {
			return false
		}
	}
	return true
}

// asWideAs reports whether c has all protocols and ports of o.
func (c *cell) asWideAs(o *cell) bool {
	return c.protoStart <= o.protoStart && o.protoEnd <= c.protoEnd && c.portStart <= o.portStart && o.portEnd <= c.portEnd
}

// gaps returns the parts of c at addresses that none of wide has, and sorts these.
func (c cell) gaps(wide []cell) (rest pieces) {
	slices.SortFunc(wide, func(a, b cell) int { return a.start.compare(b.start) })
	for i := range wide {
		w := &wide[i]
		if c.start.less(w.start) {
			part := c
			part.end = w.start.prev()
			rest = append(rest, part)
		}
		if !w.end.less(c.end) {
			return rest
		}
		if !w.end.less(c.start) {
			c.start = w.end.next()
		}
	}
	return append(rest, c)
}

// minus appends to rest the parts of c outside cut, which overlap: dimension by dimension, those
// below and above it.
func (c cell) minus(cut *cell, rest pieces) pieces {
	if c.start.less(cut.start) {
		part := c
		part.end, c.start = cut.start.prev(), cut.start
		rest = append(rest, part)
	}
	if cut.end.less(c.end) {
		part := c
		part.start, c.end = cut.end.next(), cut.end
		rest = append(rest, part)
	}
	if c.protoStart < cut.protoStart {
		part := c
		part.protoEnd, c.protoStart = cut.protoStart-1, cut.protoStart
		rest = append(rest, part)
	}
	if cut.protoEnd < c.protoEnd {
		part := c
		part.protoStart, c.protoEnd = cut.protoEnd+1, cut.protoEnd
		rest = append(rest, part)
	}
	if c.portStart < cut.portStart {
		part := c
		part.portEnd, c.portStart = cut.portStart-1, cut.portStart
		rest = append(rest, part)
	}
	if cut.portEnd < c.portEnd {
		part := c
		part.portStart = cut.portEnd + 1
		rest = append(rest, part)
	}
	return rest
}
