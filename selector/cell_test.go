package selector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestCellsAreTheSelectors compares the quick forms of Covers and Overlaps with the plain ones.
func TestCellsAreTheSelectors(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 41))
	both := 0
	for range 3000 {
		for _, a := range validSelectors(r) {
			for _, b := range validSelectors(r) {
				c, d := cellOf(a), cellOf(b)
				if c.covers(&d) != a.Covers(b) || c.overlaps(&d) != a.Overlaps(b) {
					t.Fatalf("%v and %v: covers %v, overlaps %v", a, b, c.covers(&d), c.overlaps(&d))
				}
				if a.Overlaps(b) {
					both++
				}
			}
		}
	}
	if both < 1000 {
		t.Errorf("only %d overlap", both)
	}
}

// TestProposal compares a prepared list with the plain functions, and with too little work.
func TestProposal(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 42))
	for range 1000 {
		a, b := validSelectors(r), validSelectors(r)
		p, enough := Prepare(a), NewWork(1<<20)
		if got, want := p.Overlaps(b, enough), len(Narrow(a, b)) > 0; got != want {
			t.Fatalf("%v and %v overlap: %v", a, b, got)
		}
		if got, want := p.Within(b, enough), Subset(a, b); got != want || p.First().Within(b, enough) != Subset(a[:1], b) {
			t.Fatalf("%v is within %v: %v", a, b, got)
		}
		if !enough.Left() {
			t.Fatal("no work is left")
		}
	}
	all, none := Prepare([]Selector{All(false)}), NewWork(0)
	if all.Overlaps([]Selector{All(false)}, none) || none.Left() {
		t.Error("two selectors are compared without work")
	}
	if none = NewWork(0); all.Within([]Selector{All(false)}, none) || none.Left() {
		t.Error("a selector is found within another one without work")
	}
}

// TestWorkForLongLists counts the comparisons of what a peer can send at worst: they do not depend
// on how its selectors touch, cover and cut each other.
func TestWorkForLongLists(t *testing.T) {
	var apart, touching, nested []Selector
	for i := range MaxSelectors {
		n := MaxSelectors - i
		apart = append(apart, mustParse(t, fmt.Sprintf("10.%d.0.0/24", n)))
		touching = append(touching, mustParse(t, fmt.Sprintf("10.0.%d.0/24", n)))
		nested = append(nested, mustParse(t, fmt.Sprintf("10.0.0.0-10.0.%d.255 tcp/%d-%d", i, n, n+300)))
	}
	late := append(slices.Clone(apart[:127]), touching[:128]...) // what can be joined comes behind what cannot
	for _, c := range []struct {
		name string
		list []Selector
		want int // of Normalize
	}{{"apart", apart, MaxSelectors}, {"touching", touching, 1}, {"late", late, 128}, {"nested", nested, MaxSelectors}} {
		m := maximal{work: NewWork(maxComparisons)}
		for _, s := range c.list {
			m.insert(s)
		}
		if !m.work.Left() {
			t.Errorf("%s: no work is left after %d selectors", c.name, len(m.list))
		}
		if got := Normalize(c.list); len(got) != c.want || !Equal(got, c.list) {
			t.Errorf("%s: %d selectors, want %d", c.name, len(got), c.want)
		}
		w := NewWork(maxWork)
		if !Prepare(c.list).Within(c.list, w) || !w.Left() {
			t.Errorf("%s: it is not within itself", c.name)
		}
	}
}

// A policy that covers all of a long list at once is found so; one of each family is.
func TestWithinByHulls(t *testing.T) {
	var list []Selector
	for i := range 127 {
		list = append(list, mustParse(t, fmt.Sprintf("10.0.%d.0/25 tcp/%d", 2*i, i+1)), mustParse(t, fmt.Sprintf("2001:db8:%x::/64", 2*i)))
	}
	for policy, want := range map[string]bool{
		"0.0.0.0/0|::/0":                          true,
		"10.0.0.0/8 tcp/1-127|2001:db8::/32":      true,
		"10.0.0.0/8 tcp/2-127|2001:db8::/32":      false,
		"10.0.0.0/8 tcp/1-126|2001:db8::/32":      false,
		"10.0.0.0/8 udp|2001:db8::/32":            false,
		"10.0.0.128-10.255.255.255|2001:db8::/32": false,
		"10.0.0.0-10.0.252.126|2001:db8::/32":     false,
		"10.0.0.0/8":                              false,
		"10.0.0.0/9 tcp/1-127|2001:db8::/33":      true,
		"10.0.0.0/8 tcp/1-127|2001:db8:0:1::/64":  false,
	} {
		ours := mustParseAll(t, strings.Split(policy, "|")...)
		w := NewWork(2 * len(ours))
		if got := Prepare(list).Within(ours, w); got != want {
			t.Errorf("within %s: %v", policy, got)
		} else if want && !w.Left() {
			t.Errorf("within %s: each selector was compared", policy)
		}
		if got := Subset(list, ours); got != want {
			t.Errorf("subset of %s: %v", policy, got)
		}
	}
}

// BenchmarkNormalize joins the lists of TestWorkForLongLists that were the worst.
func BenchmarkNormalize(b *testing.B) {
	var list []Selector
	for i := range 127 {
		list = append(list, FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)))
	}
	for i := range 128 {
		list = append(list, FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{11, 0, byte(127 - i), 0}), 24)))
	}
	for b.Loop() {
		Normalize(list)
	}
}

// BenchmarkSubset compares 255 selectors with as many.
func BenchmarkSubset(b *testing.B) {
	var list []Selector
	for i := range MaxSelectors {
		list = append(list, FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)))
	}
	other := slices.Clone(list)
	slices.Reverse(other)
	for b.Loop() {
		if !Subset(list, other) {
			b.Fatal("not within")
		}
	}
}
