package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// striped returns 255 selectors, and n stripes of ports that only together cover each.
func striped(t testing.TB, n int) (many, stripes []Selector) {
	for i := range MaxSelectors {
		s := mustParse(t, fmt.Sprintf("10.0.0.%d-10.255.255.%d tcp", i, i))
		s.StartPort, s.EndPort = 0, 65534
		many = append(many, s)
	}
	for i := range n {
		stripes = append(stripes, mustParse(t, fmt.Sprintf("10.0.0.0/8 tcp/%d-%d", 65536/n*i, 65536/n*(i+1)-1)))
	}
	return many, stripes
}

// A peer chooses both lists of a rekeying. Each has at most 255 selectors, which can still cut each
// other into very many pieces.
func TestSubsetIsBounded(t *testing.T) {
	var cuts []Selector
	for i := range 10 {
		cuts = append(cuts, mustParse(t, fmt.Sprintf("10.%d.0.0/16 tcp", 2*i+1)), mustParse(t, fmt.Sprintf("10.0.0.0/8 tcp/%d-%d", 100*i+1, 100*i+50)))
	}
	for i := range 20 {
		cuts = append(cuts, mustParse(t, fmt.Sprintf("10.200.%d.0/24 tcp", 2*i)))
	}
	cuts = append(cuts, mustParse(t, "10.0.0.0/9 tcp"), mustParse(t, "10.128.0.0/9 tcp"))
	many, stripes := striped(t, 32)
	if !Subset(mustParseAll(t, "10.0.0.7-10.255.255.7 tcp"), cuts) {
		t.Error("one selector, cut into many pieces, is refused")
	}
	if !Subset(many, stripes) {
		t.Error("255 selectors that each need 32 others are refused")
	}
	if many, stripes = striped(t, 128); Subset(many, stripes) {
		t.Error("no bound on the work for 255 that each need 128 others")
	}
}

// A list that leaves something uncovered is found out by a part that nothing cuts, not by cutting
// all of it to pieces: with the selectors of a payload it takes less than a cut for each pair.
func TestUncoveredIsCheap(t *testing.T) {
	all := cellOf(All(false))
	for name, entry := range map[string]string{"networks": "172.16.%d.0/25", "ports": "10.0.0.0/8 tcp/%d", "both": "172.16.%[1]d.0/25 tcp/%[1]d"} {
		var list []Selector
		for i := range MaxSelectors {
			list = append(list, mustParse(t, fmt.Sprintf(entry, i)))
		}
		w := NewWork(8 * cutWork * MaxSelectors)
		if all.coveredBy(cellsOf(list), w) || !w.Left() {
			t.Errorf("%s: covered, or the work is used up", name)
		}
	}
}

// What is covered agrees with a count of addresses and ports one by one.
func TestCoveredByCounting(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	small := func() Selector {
		from, port := r.IntN(12), r.IntN(6)
		s := mustParse(t, fmt.Sprintf("10.0.0.%d-10.0.0.%d tcp/%d-%d", from, from+r.IntN(12-from), 1+port, 1+port+r.IntN(6-port)))
		if r.IntN(2) == 0 {
			s.StartPort, s.EndPort = 1, 6
		}
		return s
	}
	covered := 0
	for range 20000 {
		s, list := small(), []Selector{}
		for range 1 + r.IntN(6) {
			list = append(list, small())
		}
		want := true
		for a := s.Start; !s.End.Less(a); a = a.Next() {
			for port := s.StartPort; port <= s.EndPort; port++ {
				want = want && slices.ContainsFunc(list, func(o Selector) bool {
					return !a.Less(o.Start) && !o.End.Less(a) && o.StartPort <= port && port <= o.EndPort
				})
			}
		}
		c := cellOf(s)
		if got := c.coveredBy(cellsOf(list), NewWork(maxWork)); got != want {
			t.Fatalf("%v by %v: %v", s, list, got)
		}
		if want {
			covered++
		}
	}
	if covered < 1000 {
		t.Errorf("only %d of 20,000 were covered", covered)
	}
}

// Between the selectors of two payloads, the work of the worst case.
func BenchmarkSubsetOfStripes(b *testing.B) {
	many, stripes := striped(b, 128)
	for b.Loop() {
		Subset(many, stripes)
	}
}
