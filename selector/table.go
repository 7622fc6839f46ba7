package selector

import (
	"cmp"
	"net/netip"
	"slices"
	"unique"

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
//
// What a look-up costs among many policies is the memory that it has to wait for. So the first rule, ordinarily the only one, lies in the bucket, which is less
// than a cache line for a value of two words; and lists of local selectors that are equal, as those of one gateway's peers are, are one list.
type bucket[V any] struct {
	first rule[V]
	more  *[]rule[V] // nil: none
}

// rule is an entry seen from one of its remote prefixes. That the destination is in there the table has found out.
type rule[V any] struct {
	order uint64
	value V
	local unique.Handle[sources]
	upper upper // of the remote selector that the prefix is a part of
	bits  uint8 // of the prefix
}

// sources is a list of local selectors: the first, and the others. The zero Handle is the empty list.
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

// matches says whether the rule, found by the destination address, selects the flow.
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

// list is all rules of the bucket, in memory of its own.
func (b *bucket[V]) list() []rule[V] {
	if b.more == nil {
		return []rule[V]{b.first}
	}
	return append([]rule[V]{b.first}, *b.more...)
}

// newBucket makes a bucket of rules in order, of which there is at least one.
func newBucket[V any](rules []rule[V]) *bucket[V] {
	b := &bucket[V]{first: rules[0]}
	if more := rules[1:]; len(more) > 0 {
		b.more = &more
	}
	return b
}

// NewTable makes a table of entries, which it keeps no slice of. Selectors that are not Valid are left out.
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

// placed is a rule and the prefix that it is found by.
type placed[V any] struct {
	prefix netip.Prefix
	rule   rule[V]
}

// rulesOf is the entry as rules. A range of remote addresses is several prefixes.
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

// Len is the number of entries.
func (t *Table[V]) Len() int { return t.entries }

// With is the table with one entry more. To change an entry: t.Without(old).With(new).
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

// Without is the table without the entry of e's Order, whose Remote must be what it was when the entry was put in. If the table has no such entry,
// the result is the table itself.
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
			continue // never there, or gone with an earlier selector
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

// Lookup finds the entry of an outbound flow: of those that match, one with the longest remote prefix around the destination (a range counts as the prefixes
// that it is made of), and of these the one of lowest Order. It allocates nothing. Its cost grows with the number of entries that share one remote
// prefix and with that of shorter prefixes whose entries do not match, not with the size of the table.
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
		// What covers the prefix one bit shorter is the next best.
		_, b, found = t.prefixes.LookupPrefixLPM(netip.PrefixFrom(f.Dst, bits-1))
	}
	return value, false
}
