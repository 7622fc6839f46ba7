package interop

import "testing"

// Every pair of values that can occur together does, and the short form has every value, and every
// pair without a feature.
func TestPairwise(t *testing.T) {
	for _, p := range append([]Peer{{Name: "anything"}}, Peers...) {
		product := p.product()
		cells, short := pairwise(product)
		has := func(cells []Cell, on int, least int, what string) {
			found := map[pair]int{}
			for _, c := range cells {
				for _, p := range pairsOf(c, on) {
					found[p]++
				}
			}
			for _, c := range product {
				for _, one := range pairsOf(c, on) {
					if found[one] < least {
						t.Fatalf("%s: %s lacks %s with %s", p.Name, what, axes[one[0]].values[one[2]], axes[one[1]].values[one[3]])
					}
				}
			}
		}
		has(cells, len(axes), 1, "the matrix")
		has(cells[:short], len(axes)-1, 1, "the short form")
		features := map[string]bool{}
		for _, c := range cells[:short] {
			features[c.Feature] = true
		}
		for _, c := range product {
			if !features[c.Feature] {
				t.Fatalf("%s: the short form lacks %s", p.Name, c.Feature)
			}
		}
		if len(cells) > 60 || short > 25 {
			t.Errorf("%s: %d cells, %d in the short form, are more than needed", p.Name, len(cells), short)
		}
	}
}

// What is chosen already counts, and is not chosen again.
func TestCoverKeepsTheChosen(t *testing.T) {
	product := (Peer{Name: "x"}).product()
	whole := cover(nil, product, len(axes))
	if again := cover(whole, product, len(axes)); len(again) != len(whole) {
		t.Errorf("%d cells became %d", len(whole), len(again))
	}
}

// Every value occurs, and with few cells.
func TestOnce(t *testing.T) {
	product := (Peer{Name: "x"}).product()
	has := map[string]bool{}
	cells := once(product)
	for _, c := range cells {
		for _, v := range c.values() {
			has[v] = true
		}
	}
	all := 0
	for _, a := range axes {
		all += len(a.values)
	}
	if len(has) != all || len(cells) != len(axes[len(axes)-1].values) {
		t.Errorf("%d of %d values in %d cells", len(has), all, len(cells))
	}
}
