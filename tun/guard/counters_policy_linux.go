package guard

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Drops are also counted for the policy that protects the flow. Only dropped packets are looked up,
// in separate maps, so that other packets cost nothing more and the maps cannot change a verdict:
//
//	drop-out: count, jump whose-out, drop
//	whose-out: source -> whose-out4-1, ... (a map, by the local networks of the groups)
//	whose-out4-1: destination -> counter "out PEER/CHILD" (a map; no element: not counted)
//
// If there are very many policies, the first of them have counters (protect.Owners).

// maxParts is the number of sets of groups of a family that can have counters by policy.
const maxParts = 64

// An attribution holds the policies for which drops are counted.
type attribution struct {
	policies map[protect.ID]string // their names
	parts    [2][]*part            // by family
	last     int                   // the number of the latest part
}

// A part holds the local addresses with the same groups. It is immutable; a change replaces it.
type part struct {
	number int
	locals []protect.Range
	owned  []countedRange
}

// A countedRange is an interval of destinations, and the name of the policy for which drops are
// counted.
type countedRange struct {
	protect.Range
	policy string
}

// names returns the names of the policies.
func (a *attribution) names() map[string]bool {
	out := make(map[string]bool, len(a.policies))
	for _, name := range a.policies {
		out[name] = true
	}
	return out
}

func (p *part) same(o *part) bool {
	return slices.Equal(p.locals, o.locals) && slices.Equal(p.owned, o.owned)
}

// ways holds the directions that are counted by policy.
var ways = []purpose{
	{"out", nil, source, destination, dropOut},
	{"in", nil, destination, source, refuseIn},
}

const attributionPrefix = "whose-"

func attributionName(w *purpose) string { return attributionPrefix + w.name }

func (p *part) name(w *purpose, v6 bool) string {
	return attributionPrefix + w.mapName(v6) + "-" + strconv.Itoa(p.number)
}

// policyCounter returns the name of a policy's counter.
func policyCounter(w *purpose, policy string) string { return w.name + " " + policy }

// parsePolicyCounter is the inverse of policyCounter. The names of directions contain no blanks.
func parsePolicyCounter(name string) (way, policy string, ok bool) { return strings.Cut(name, " ") }

// addAttribution makes the chains to which the targets jump.
func (c *Config) addAttribution(b *batch) {
	if !c.byPolicy {
		return
	}
	for i := range ways {
		w := &ways[i]
		b.addChain(attributionName(w))
		for _, v6 := range families {
			b.addSet(attributionPrefix+w.mapName(v6), v6, true)
			b.addRule(attributionName(w), family(v6), seq(w.local(v6), byMap(attributionPrefix+w.mapName(v6))))
		}
	}
}

// countByPolicy makes a target count by policy.
func (c *Config) countByPolicy(b *batch, target string) {
	for i := range ways {
		if w := &ways[i]; c.byPolicy && w.target == target {
			b.addRule(target, jump(attributionName(w)))
		}
	}
}

// attribute updates the counters by policy, and puts the difference into b. New counters start from
// counted.
func (m *image) attribute(b *batch, o *protect.Owners, counted map[string]Drops) {
	if !m.cfg.byPolicy {
		return
	}
	before := m.attributed.names()
	m.attributed.policies = make(map[protect.ID]string)
	for _, id := range o.Policies() {
		m.attributed.policies[id] = o.Name(id)
	}
	now := m.attributed.names()
	for _, name := range sorted(now) {
		if !before[name] {
			b.addPolicyCounters(name, counted[name])
		}
	}
	for _, v6 := range families {
		m.exchange(b, v6, m.partsOf(o, v6))
	}
	for _, name := range sorted(before) {
		for i := range ways {
			if !now[name] {
				b.deleteCounter(policyCounter(&ways[i], name))
			}
		}
	}
}

func sorted(names map[string]bool) []string { return slices.Sorted(maps.Keys(names)) }

func (b *batch) addPolicyCounters(policy string, d Drops) {
	for i, n := range []uint64{d.Out, d.In} {
		b.addCounter(policyCounter(&ways[i], policy), n)
	}
}

// partsOf returns the parts of a family for the owners.
func (m *image) partsOf(o *protect.Owners, v6 bool) []*part {
	locals := make(map[int][]protect.Range) // by the number of the set of groups
	var sets []*groupSet
	for _, s := range m.sets {
		if s.v6 == v6 && slices.ContainsFunc(s.groups, o.In) {
			sets = append(sets, s)
			locals[s.number] = nil
		}
	}
	for r, n := range m.pieces[index(v6)] {
		if list, ok := locals[n]; ok {
			locals[n] = append(list, r)
		}
	}
	slices.SortFunc(sets, func(a, b *groupSet) int { return slices.Compare(a.groups, b.groups) })
	var out []*part
	for _, s := range sets[:min(len(sets), maxParts)] {
		p := &part{locals: locals[s.number], owned: ownedBy(o, s.groups)}
		if sortRanges(p.locals); len(p.owned) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// ownedBy returns the owners of flows from the local networks of the groups, by name.
func ownedBy(o *protect.Owners, groups []int) (out []countedRange) {
	for _, x := range o.Of(groups) {
		out = append(out, countedRange{x.Range, o.Name(x.ID)})
	}
	return out
}

// exchange replaces the parts of a family that differ from now.
func (m *image) exchange(b *batch, v6 bool, now []*part) {
	old := slices.Clone(m.attributed.parts[index(v6)])
	var fresh []*part
	for i, p := range now {
		if at := slices.IndexFunc(old, p.same); at >= 0 {
			now[i] = old[at]
			old = slices.Delete(old, at, at+1)
			continue
		}
		m.attributed.last++
		p.number = m.attributed.last
		fresh = append(fresh, p)
	}
	m.attributed.parts[index(v6)] = now
	for i := range ways {
		for _, p := range old {
			b.ranges(unix.NFT_MSG_DELSETELEM, attributionPrefix+ways[i].mapName(v6), p.locals)
		}
		for _, p := range fresh {
			b.addPart(&ways[i], v6, p)
		}
		for _, p := range old {
			b.deletePart(&ways[i], v6, p)
		}
	}
}

func (b *batch) addPart(w *purpose, v6 bool, p *part) {
	name := p.name(w, v6)
	b.addCounterMap(name, v6)
	b.elements(unix.NFT_MSG_NEWSETELEM, name, len(p.owned), func(i int) (protect.Range, leadsTo) {
		return p.owned[i].Range, leadsTo{counter: policyCounter(w, p.owned[i].policy)}
	})
	b.addChain(name)
	b.addRule(name, seq(w.remote(v6), countBy{set: name}))
	b.elements(unix.NFT_MSG_NEWSETELEM, attributionPrefix+w.mapName(v6), len(p.locals), func(i int) (protect.Range, leadsTo) {
		return p.locals[i], leadsTo{chain: name}
	})
}

// deletePart removes a part that no element leads to. It removes the elements before their set:
// older kernels release the counters of elements that go with their set only after the batch.
func (b *batch) deletePart(w *purpose, v6 bool, p *part) {
	name := p.name(w, v6)
	b.deleteChain(name)
	b.elements(unix.NFT_MSG_DELSETELEM, name, len(p.owned), func(i int) (protect.Range, leadsTo) {
		return p.owned[i].Range, leadsTo{}
	})
	b.deleteSet(name)
}

// wholeAttribution puts the whole attribution into a batch with a new table.
func (m *image) wholeAttribution(b *batch, counted map[string]Drops) {
	if !m.cfg.byPolicy {
		return
	}
	for _, name := range sorted(m.attributed.names()) {
		b.addPolicyCounters(name, counted[name])
	}
	for _, v6 := range families {
		for _, p := range m.attributed.parts[index(v6)] {
			for i := range ways {
				b.addPart(&ways[i], v6, p)
			}
		}
	}
}

// sampleAttribution returns an attribution with one element of each kind, for try.
func sampleAttribution() attribution {
	all := protect.RangeOf(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
	const name = "probe/probe"
	p := &part{number: 1, locals: []protect.Range{all}, owned: []countedRange{{all, name}}}
	return attribution{policies: map[protect.ID]string{1: name}, parts: [2][]*part{{p}, nil}}
}
