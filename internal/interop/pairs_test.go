package interop

import (
	"slices"
	"testing"
)

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

// Another feature changes none of the cells without it, and all that can be with it is there.
func TestAddedFeatures(t *testing.T) {
	product := (Peer{Name: "x"}).product()
	without := slices.DeleteFunc(slices.Clone(product), func(c Cell) bool { return slices.Contains(added, c.Feature) })
	with, short := pairwise(product)
	if !slices.ContainsFunc(with[:short], func(c Cell) bool { return c.Feature == PerPair }) {
		t.Error("the short form lacks an added feature")
	}
	with = slices.DeleteFunc(with, func(c Cell) bool { return slices.Contains(added, c.Feature) })
	before, _ := pairwise(without)
	for _, c := range before {
		if !slices.Contains(with, c) {
			t.Errorf("%s is no longer there", c.Short())
		}
	}
}
