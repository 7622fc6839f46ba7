package hostpolicy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A set with more elements than the bound is not looked into.
func TestLargeSet(t *testing.T) {
	h := newHost(t)
	for n, want := range map[int]error{mostElements: nil, mostElements + 1: errLarge} {
		var list strings.Builder
		for i := range n {
			fmt.Fprintf(&list, "%s%d : drop", []string{", ", ""}[max(0, 1-i)], i+1)
		}
		if err := rulesOf(h, "inet", "map m { type mark : verdict; elements = { "+list.String()+" }; }"); err != nil {
			t.Fatal(err)
		}
		if err := h.Do(func() error {
			r, err := readRuleset(nil)
			if err != nil {
				return err
			}
			got, err := r.elementsOf(tableKey{unix.NFPROTO_INET, "t"}, "m")
			if !errors.Is(err, want) || want == nil && len(got) != n {
				t.Errorf("of %d elements there are %d: %v", n, len(got), err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := h.NFT("delete table inet t"); err != nil {
			t.Fatal(err)
		}
	}
}

// Sets have their flags and elements, and those of maps their verdicts.
func TestSets(t *testing.T) {
	h := newHost(t)
	if err := rulesOf(h, "inet", `set plain { type inet_proto; elements = { tcp, esp }; }
set many { type inet_proto; flags interval; elements = { 1-7 }; }
map where { type inet_proto : verdict; elements = { esp : drop, tcp : accept }; }`); err != nil {
		t.Fatal(err)
	}
	table := tableKey{unix.NFPROTO_INET, "t"}
	if err := h.Do(func() error {
		r, err := readRuleset(nil)
		if err != nil {
			return err
		}
		list, err := r.elementsOf(table, "plain")
		if err != nil || len(list) != 2 || list[0].odd || len(list[0].key) != 1 || list[0].key[0]+list[1].key[0] != 56 {
			t.Errorf("the set has %+v, %v", list, err)
		}
		if again, _ := r.elementsOf(table, "plain"); len(again) != 2 {
			t.Errorf("read again it has %d elements", len(again))
		}
		if s, err := r.set(table, "many"); err != nil || s.flags&unix.NFT_SET_INTERVAL == 0 {
			t.Errorf("the intervals are %+v, %v", s, err)
		}
		list, err = r.elementsOf(table, "where")
		codes := make(map[byte]int32)
		for _, e := range list {
			codes[e.key[0]] = e.verdict.code
		}
		if err != nil || codes[50] != 0 || codes[6] != nfAccept {
			t.Errorf("the map has %v, %v", codes, err)
		}
		if _, err := r.elementsOf(table, "none"); !errors.Is(err, errGone) {
			t.Errorf("a set that is not there: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
