package selector

import (
	"cmp"
	"net/netip"
	"slices"
	"unique"

	"github.com/gaissmai/bart"
)

// An Entry is one policy of a Table: outbound packets with a source in Local and a destination in
// Remote belong to Value.
type Entry[V any] struct {
	// Order identifies the entry within the table. Among entries that match equally well the lowest
	// Order wins.
	Order         uint64
	Local, Remote []Selector
	Value         V
}

// A Table is the SPD of outbound packets (RFC 4301, Section 4.4.1): an immutable set of entries,
// safe for concurrent use. A change makes a new table that shares almost all of the old one; its
// time does not depend on the number of entries. NewTable(nil) is the empty table.
type Table[V any] struct {
	prefixes *bart.Table[*bucket[V]]
	entries  int
}

// A bucket holds the rules of one remote prefix, in order. It is immutable once its table is
// published.
//
// Among many policies the cost of a look-up is the memory that it waits for. The first rule,
// usually the only one, therefore lies in the bucket, which is less than a cache line for a value
// of two words; and equal lists of local selectors, such as those of one gateway's peers, are
// stored once.
type bucket[V any] struct {
	first rule[V]
	more  *[]rule[V] // nil: none
}

// A rule is an entry for one of its remote prefixes. The table has already matched the destination
// with the prefix.
type rule[V any] struct {
	order uint64
	value V
	local unique.Handle[sources]
	upper upper // of the remote selector that contains the prefix
	bits  uint8 // of the prefix
}

// sources is a linked list of local selectors. The zero Handle is the empty list.
type sources struct {
	first  Selector
	others unique.Handle[sources]
}

func internSources(list []Selector) (all unique.Handle[sources]) {
	for _, s := range slices.Backward(list) {
		all = unique.Make(sources{s, all})
	}
	return all
}

// matches reports whether the rule selects the flow, whose destination lies in the rule's prefix.
func (r *rule[V]) matches(f *Flow) bool {
	if !r.upper.matchesDest(f) {
		return false
	}
	for h := r.local; h != (unique.Handle[sources]{}); {
		s := h.Value()
		if s.first.MatchesSource(f) {
			return true
		}
		h = s.others
	}
	return false
}

// list returns a copy of all rules of the bucket.
func (b *bucket[V]) list() []rule[V] {
	if b.more == nil {
		return []rule[V]{b.first}
	}
	return append([]rule[V]{b.first}, *b.more...)
}

// newBucket returns a bucket of rules in order; there must be at least one.
func newBucket[V any](rules []rule[V]) *bucket[V] {
	b := &bucket[V]{first: rules[0]}
	if more := rules[1:]; len(more) > 0 {
		b.more = &more
	}
	return b
}

// NewTable returns a table of entries, and keeps no slice of them. Invalid selectors are omitted.
func NewTable[V any](entries []Entry[V]) *Table[V] {
	t := &Table[V]{prefixes: new(bart.Table[*bucket[V]]), entries: len(entries)}
	crowded := map[netip.Prefix][]rule[V]{}
	for i := range entries {
		for _, p := range rulesOf(&entries[i]) {
			b, ok := t.prefixes.Get(p.prefix)
			if !ok {
				t.prefixes.Insert(p.prefix, &bucket[V]{first: p.rule})
				continue
			}
			if crowded[p.prefix] == nil {
				crowded[p.prefix] = b.list()
			}
			crowded[p.prefix] = append(crowded[p.prefix], p.rule)
		}
	}
	for prefix, rules := range crowded {
		slices.SortStableFunc(rules, compareRules)
		t.prefixes.Insert(prefix, newBucket(rules))
	}
	return t
}

// placed is a rule and the prefix under which the table holds it.
type placed[V any] struct {
	prefix netip.Prefix
	rule   rule[V]
}

// rulesOf returns the rules of an entry. A range of remote addresses becomes several prefixes.
func rulesOf[V any](e *Entry[V]) []placed[V] {
	var list []placed[V]
	local := internSources(e.Local)
	for _, remote := range e.Remote {
		if !remote.Valid() {
			continue
		}
		for _, p := range remote.Prefixes() {
			list = append(list, placed[V]{p, rule[V]{e.Order, e.Value, local, remote.upper(), uint8(p.Bits())}})
		}
	}
	return list
}

func compareRules[V any](a, b rule[V]) int { return cmp.Compare(a.order, b.order) }

// Len returns the number of entries.
func (t *Table[V]) Len() int { return t.entries }

// With returns the table with one more entry. To change an entry: t.Without(old).With(new).
func (t *Table[V]) With(e Entry[V]) *Table[V] {
	prefixes := t.prefixes
	for _, add := range rulesOf(&e) {
		b := &bucket[V]{first: add.rule}
		if old, ok := prefixes.Get(add.prefix); ok {
			rules := old.list()
			at, _ := slices.BinarySearchFunc(rules, add.rule, compareRules)
			for at < len(rules) && rules[at].order == e.Order { // another selector of this entry
				at++
			}
			b = newBucket(slices.Insert(rules, at, add.rule))
		}
		prefixes = prefixes.InsertPersist(add.prefix, b)
	}
	return &Table[V]{prefixes: prefixes, entries: t.entries + 1}
}

// Without returns the table without the entry of e's Order. e.Remote must equal that of the entry
// in the table. Without such an entry it returns the table itself.
func (t *Table[V]) Without(e Entry[V]) *Table[V] {
	prefixes, found := t.prefixes, false
	for _, gone := range rulesOf(&e) {
		old, ok := prefixes.Get(gone.prefix)
		if !ok {
			continue
		}
		before := old.list()
		rules := slices.DeleteFunc(before, func(r rule[V]) bool { return r.order == e.Order })
		if len(rules) == len(before) {
			continue // absent, or removed with an earlier selector
		}
		found = true
		if len(rules) == 0 {
			prefixes = prefixes.DeletePersist(gone.prefix)
			continue
		}
		prefixes = prefixes.InsertPersist(gone.prefix, newBucket(rules))
	}
	if !found {
		return t
	}
	return &Table[V]{prefixes: prefixes, entries: t.entries - 1}
}

// Lookup returns the value of the best entry for an outbound flow: of those that match, the one
// with the longest remote prefix around the destination (a range counts as its prefixes), and among
// these the one of lowest Order. It allocates nothing. Its cost grows with the number of entries of
// one remote prefix, and with the number of shorter prefixes whose entries do not match, not with
// the size of the table.
func (t *Table[V]) Lookup(f *Flow) (value V, ok bool) {
	b, found := t.prefixes.Lookup(f.Dst)
	for found {
		if b.first.matches(f) {
			return b.first.value, true
		}
		if b.more != nil {
			for i := range *b.more {
				if r := &(*b.more)[i]; r.matches(f) {
					return r.value, true
				}
			}
		}
		bits := int(b.first.bits)
		if bits == 0 {
			break
		}
		// The next best is the longest prefix that is shorter by a bit or more.
		_, b, found = t.prefixes.LookupPrefixLPM(netip.PrefixFrom(f.Dst, bits-1))
	}
	return value, false
}
