package interop

import "slices"

// A pair is a value of one axis beside a value of a later one, by their numbers.
type pair [4]uint8

// pairsOf returns the pairs of a cell on the first axes.
func pairsOf(c Cell, on int) []pair {
	var at [8]uint8
	for i := range on {
		at[i] = uint8(slices.Index(axes[i].values, *axes[i].of(&c)))
	}
	var out []pair
	for i := range uint8(on) {
		for j := i + 1; int(j) < on; j++ {
			out = append(out, pair{i, j, at[i], at[j]})
		}
	}
	return out
}

// A counter counts pairs: whether one is missing, and how many chosen cells have it.
type counter struct {
	missing [8][8][16][16]bool
	taken   [8][8][16][16]int
	left    int
}

func (n *counter) want(pairs []pair) {
	for _, p := range pairs {
		if is := &n.missing[p[0]][p[1]][p[2]][p[3]]; !*is {
			*is = true
			n.left++
		}
	}
}

func (n *counter) take(pairs []pair) {
	for _, p := range pairs {
		if is := &n.missing[p[0]][p[1]][p[2]][p[3]]; *is {
			*is = false
			n.left--
		}
		n.taken[p[0]][p[1]][p[2]][p[3]]++
	}
}

// gain is larger with more pairs that are missing, and then with pairs that were taken less.
func (n *counter) gain(pairs []pair) (gain int) {
	const one = 1 << 20 // more than all that is taken
	for _, p := range pairs {
		if gain -= n.taken[p[0]][p[1]][p[2]][p[3]]; n.missing[p[0]][p[1]][p[2]][p[3]] {
			gain += one
		}
	}
	return gain
}

// cover appends cells out of a product to chosen until every pair on the first axes that any of the
// product has is in one of them. It takes the cell with the most pairs that are missing, and of
// several the one whose pairs have been taken least.
func cover(chosen, product []Cell, on int) []Cell {
	var n counter
	pairs := make([][]pair, len(product))
	for i, c := range product {
		pairs[i] = pairsOf(c, on)
		n.want(pairs[i])
	}
	for _, c := range chosen {
		n.take(pairsOf(c, on))
	}
	for n.left > 0 {
		best, most := 0, 0
		for i := range product {
			if gain := n.gain(pairs[i]); gain > most {
				best, most = i, gain
			}
		}
		n.take(pairs[best])
		chosen = append(chosen, product[best])
	}
	return chosen
}

// added are the features that were added after the others: cells with them follow, so that another
// feature changes none of the cells without it.
var added = []string{Transport, Childless, PerPair}

// pairwise returns the cells of a product in which every pair of values occurs, and how many of
// them suffice for every value, and for every pair of values but of features.
func pairwise(product []Cell) (cells []Cell, short int) {
	last := len(axes) - 1
	first := slices.DeleteFunc(slices.Clone(product), func(c Cell) bool { return slices.Contains(added, c.Feature) })
	used := map[string]int{}
	for _, c := range cover(nil, first, last) {
		c = leastUsed(c, first, used)
		used[c.Feature]++
		cells = append(cells, c)
	}
	for _, c := range first {
		if used[c.Feature] == 0 {
			used[c.Feature]++
			cells = append(cells, c)
		}
	}
	rest := cover(cells, first, last+1)[len(cells):]
	for i, f := range added {
		if c, found := nth(product, f, i); found {
			cells = append(cells, c)
		}
	}
	short = len(cells)
	return cover(append(cells, rest...), product, last+1), short
}

// nth returns a cell with a feature, each for another i.
func nth(product []Cell, feature string, i int) (Cell, bool) {
	with := slices.DeleteFunc(slices.Clone(product), func(c Cell) bool { return c.Feature != feature })
	if len(with) == 0 {
		return Cell{}, false
	}
	return with[(i*len(with)*3/7)%len(with)], true
}

// leastUsed returns the cell of the product that differs from c at most in its feature, with the
// one that has been used least.
func leastUsed(c Cell, product []Cell, used map[string]int) Cell {
	like := slices.DeleteFunc(slices.Clone(product), func(o Cell) bool {
		o.Feature = c.Feature
		return o != c
	})
	return slices.MinFunc(like, func(a, b Cell) int { return used[a.Feature] - used[b.Feature] })
}
