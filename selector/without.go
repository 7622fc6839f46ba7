package selector

// Without returns what remains of list without the packets that cut selects, as far as address
// ranges tell: a selector of cut counts where it has all protocols and ports of the one that it
// cuts. It returns at most MaxSelectors. list is not changed.
func Without(list, cut []Selector) []Selector {
	left := append([]Selector(nil), list...)
	for _, c := range cut {
		var rest []Selector
		for _, s := range left {
			rest = appendOutside(rest, s, c)
		}
		if len(rest) > MaxSelectors {
			return left
		}
		left = rest
	}
	return left
}

// appendOutside appends the parts of s below and above the addresses of cut.
func appendOutside(list []Selector, s, cut Selector) []Selector {
	same := s
	same.Start, same.End = cut.Start, cut.End
	if s.Is6() != cut.Is6() || !cut.Covers(same) || s.End.Less(cut.Start) || cut.End.Less(s.Start) {
		return append(list, s)
	}
	if s.Start.Less(cut.Start) {
		below := s
		below.End = cut.Start.Prev()
		list = append(list, below)
	}
	if cut.End.Less(s.End) {
		above := s
		above.Start = cut.End.Next()
		list = append(list, above)
	}
	return list
}
