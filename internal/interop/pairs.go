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

// pairwise returns the cells of a product in which every pair of values occurs, and how many of
// them suffice for every value, and for every pair of values but of features.
func pairwise(product []Cell) (cells []Cell, short int) {
	last := len(axes) - 1
	used := map[string]int{}
	for _, c := range cover(nil, product, last) {
		c = leastUsed(c, product, used)
		used[c.Feature]++
		cells = append(cells, c)
	}
	for _, c := range product {
		if used[c.Feature] == 0 {
			used[c.Feature]++
			cells = append(cells, c)
		}
	}
	return cover(cells, product, last+1), len(cells)
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

// once returns cells of a product in which every value occurs that any has. As cover does, it takes
// the cell with the most values that are missing, and of several the one whose values have been
// taken least.
func once(product []Cell) (cells []Cell) {
	missing, taken := map[string]bool{}, map[string]int{}
	for _, c := range product {
		for _, v := range c.values() {
			missing[v] = true
		}
	}
	gain := func(c Cell) (gain int) {
		for _, v := range c.values() {
			if gain -= taken[v]; missing[v] {
				gain += 1 << 20
			}
		}
		return gain
	}
	for len(missing) > 0 {
		best := slices.MaxFunc(product, func(a, b Cell) int { return gain(a) - gain(b) })
		for _, v := range best.values() {
			delete(missing, v)
			taken[v]++
		}
		cells = append(cells, best)
	}
	return cells
}

// values returns the cell's values on the axes, which differ from axis to axis.
func (c Cell) values() []string {
	out := make([]string, len(axes))
	for i, a := range axes {
		out[i] = *a.of(&c)
	}
	out[0], out[1] = out[0]+" initiates", out[1]+" rekeys"
	return out
}
