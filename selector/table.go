package selector

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Entry is one policy of a Table: outbound packets whose source is in Local and whose destination is in Remote belong to Value.
type Entry[V any] struct {
	// Order is the entry's place and name: of entries that match equally well the lowest Order wins, and no two entries of a
	// table have the same.
	Order         uint64
	Local, Remote []Selector
	Value         V
}

// Table is the SPD of outbound packets (RFC 4301, Section 4.4.1): an immutable set of entries. Any number of goroutines may use one; a change makes
// a new table that shares almost all of the old one, in time that does not grow with the number of entries. NewTable(nil) is the empty one.
type Table[V any] struct {
	prefixes *bart.Table[*bucket[V]]
	entries  int
}

// bucket holds the rules of one remote prefix, in order. It is immutable once it is in a table that others can see.
type bucket[V any] struct {
	prefix netip.Prefix
	rules  []rule[V]
}

// rule is an entry seen from one of its remote prefixes.
type rule[V any] struct {
	order  uint64
	remote Selector // the one of Remote that the prefix is a part of
	local  []Selector
	value  V
}

// NewTable makes a table of entries, which it keeps no slice of. Selectors that are not Valid are left out.
func NewTable[V any](entries []Entry[V]) *Table[V] {
	t := &Table[V]{prefixes: new(bart.Table[*bucket[V]]), entries: len(entries)}
	for i := range entries {
		for _, p := range rulesOf(&entries[i]) {
			if b, ok := t.prefixes.Get(p.prefix); ok {
				b.rules = append(b.rules, p.rules...) // nobody sees this table yet
				continue
			}
			t.prefixes.Insert(p.prefix, &p)
		}
	}
	for _, b := range t.prefixes.All() {
		slices.SortStableFunc(b.rules, compareRules)
	}
	return t
}

// rulesOf is the entry as buckets of one rule each. A range of remote addresses is several prefixes.
func rulesOf[V any](e *Entry[V]) []bucket[V] {
	var list []bucket[V]
	local := slices.Clone(e.Local)
	for _, remote := range e.Remote {
		if !remote.Valid() {
			continue
		}
		for _, p := range remote.Prefixes() {
			list = append(list, bucket[V]{p, []rule[V]{{e.Order, remote, local, e.Value}}})
		}
	}
	return list
}

func compareRules[V any](a, b rule[V]) int {
	switch {
	case a.order < b.order:
		return -1
	case a.order > b.order:
		return 1
	}
	return 0
}

// Len is the number of entries.
func (t *Table[V]) Len() int { return t.entries }

// With is the table with one entry more. To change an entry: t.Without(old).With(new).
func (t *Table[V]) With(e Entry[V]) *Table[V] {
	prefixes := t.prefixes
	for _, add := range rulesOf(&e) {
		merged := add
		if old, ok := prefixes.Get(add.prefix); ok {
			at, _ := slices.BinarySearchFunc(old.rules, add.rules[0], compareRules)
			for at < len(old.rules) && old.rules[at].order == e.Order { // another selector of this entry
				at++
			}
			merged.rules = slices.Insert(slices.Clone(old.rules), at, add.rules...)
		}
		prefixes = prefixes.InsertPersist(merged.prefix, &merged)
	}
	return &Table[V]{prefixes: prefixes, entries: t.entries + 1}
}

// Without is the table without the entry of e's Order, whose Remote must be what it was when the entry was put in. If the table has no such entry,
// the result is the table itself.
func (t *Table[V]) Without(e Entry[V]) *Table[V] {
	prefixes, found := t.prefixes, false
	for _, gone := range rulesOf(&e) {
		old, ok := prefixes.Get(gone.prefix)
		if !ok {
			continue
		}
		rules := slices.DeleteFunc(slices.Clone(old.rules), func(r rule[V]) bool { return r.order == e.Order })
		if len(rules) == len(old.rules) {
			continue // never there, or gone with an earlier selector
		}
		found = true
		if len(rules) == 0 {
			prefixes = prefixes.DeletePersist(gone.prefix)
			continue
		}
		prefixes = prefixes.InsertPersist(gone.prefix, &bucket[V]{gone.prefix, rules})
	}
	if !found {
		return t
	}
	return &Table[V]{prefixes: prefixes, entries: t.entries - 1}
}

// Lookup finds the entry of an outbound flow: of those that match, one with the longest remote prefix around the destination (a range counts as the prefixes
// that it is made of), and of these the one of lowest Order. It allocates nothing. Its cost grows with the number of entries that share one remote
// prefix and with that of shorter prefixes whose entries do not match, not with the size of the table.
func (t *Table[V]) Lookup(f *Flow) (value V, ok bool) {
	b, found := t.prefixes.Lookup(f.Dst)
	for found {
		for i := range b.rules {
			r := &b.rules[i]
			if r.remote.matchesDestUpper(f) && anySource(f, r.local) {
				return r.value, true
			}
		}
		bits := b.prefix.Bits()
		if bits == 0 {
			break
		}
		// What covers the prefix one bit shorter is the next best.
		_, b, found = t.prefixes.LookupPrefixLPM(netip.PrefixFrom(f.Dst, bits-1))
	}
	return value, false
}
