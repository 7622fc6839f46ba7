package guard

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// What is dropped is also counted for the policy that protects it. That is asked on the way to the
// drop alone, of maps by themselves, so that it costs other packets nothing, and whatever these
// maps hold the packet is dropped:
//
//	drop-out: count, jump whose-out, drop
//	whose-out: source -> whose-out4-1, ... (a map, by the local networks of the groups)
//	whose-out4-1: destination -> counter "out PEER/CHILD" (a map; no counter: none)
//
// Of very many policies the first have counters (protect.Owners).

// maxParts is how many sets of groups of a family can have counters by policy.
const maxParts = 64

// whose is by what policies the drops are counted.
type whose struct {
	policies map[protect.ID]bool
	parts    [2][]*part // by family
	last     int        // the number of the latest part
}

// part is the local addresses that have the same groups. It does not change: another one takes its
// place.
type part struct {
	number int
	locals []protect.Range
	owned  []protect.Owned
}

func (p *part) same(o *part) bool {
	return slices.Equal(p.locals, o.locals) && slices.Equal(p.owned, o.owned)
}

// ways are the directions that are counted by policy.
var ways = []purpose{
	{"out", nil, source, destination, dropOut},
	{"in", nil, destination, source, refuseIn},
}

const whosePrefix = "whose-"

func whoseName(w *purpose) string { return whosePrefix + w.name }

func (p *part) name(w *purpose, v6 bool) string {
	return whosePrefix + w.mapName(v6) + "-" + strconv.Itoa(p.number)
}

// policyCounter names the counter of a policy. The names of peers and children have neither blanks
// nor slashes.
func policyCounter(w *purpose, id protect.ID) string {
	return w.name + " " + id.Peer + "/" + id.Child
}

// parsePolicyCounter undoes policyCounter.
func parsePolicyCounter(name string) (way string, id protect.ID, ok bool) {
	way, policy, ok := strings.Cut(name, " ")
	if !ok {
		return "", protect.ID{}, false
	}
	id.Peer, id.Child, ok = strings.Cut(policy, "/")
	return way, id, ok
}

// addWhose makes the chains to which the targets jump.
func (c *Config) addWhose(b *batch) {
	if !c.byPolicy {
		return
	}
	for i := range ways {
		w := &ways[i]
		b.addChain(whoseName(w))
		for _, v6 := range families {
			b.addSet(whosePrefix+w.mapName(v6), v6, true)
			b.addRule(whoseName(w), family(v6), seq(w.local(v6), byMap(whosePrefix+w.mapName(v6))))
		}
	}
}

// askWhose has a target count by policy.
func (c *Config) askWhose(b *batch, target string) {
	for i := range ways {
		if w := &ways[i]; c.byPolicy && w.target == target {
			b.addRule(target, jump(whoseName(w)))
		}
	}
}

// attribute brings the counters by policy up to date, and puts the difference into b. New counters
// go on from counted.
func (m *image) attribute(b *batch, o *protect.Owners, counted map[protect.ID]Drops) {
	if !m.cfg.byPolicy {
		return
	}
	before := m.whose.policies
	m.whose.policies = make(map[protect.ID]bool)
	for _, id := range o.Policies() {
		m.whose.policies[id] = true
		if !before[id] {
			b.addPolicyCounters(id, counted[id])
		}
	}
	for _, v6 := range families {
		m.exchange(b, v6, m.partsOf(o, v6))
	}
	for _, id := range sortedIDs(before) {
		for i := range ways {
			if !m.whose.policies[id] {
				b.deleteCounter(policyCounter(&ways[i], id))
			}
		}
	}
}

func sortedIDs(m map[protect.ID]bool) []protect.ID {
	return slices.SortedFunc(maps.Keys(m), func(a, b protect.ID) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Child, b.Child))
	})
}

func (b *batch) addPolicyCounters(id protect.ID, d Drops) {
	for i, n := range []uint64{d.Out, d.In} {
		b.addCounter(policyCounter(&ways[i], id), n)
	}
}

// partsOf returns the parts of a family as they shall be.
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
		p := &part{locals: locals[s.number], owned: o.Of(s.groups)}
		if sortRanges(p.locals); len(p.owned) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// exchange replaces the parts of a family that are not the same any more.
func (m *image) exchange(b *batch, v6 bool, now []*part) {
	old := slices.Clone(m.whose.parts[index(v6)])
	var fresh []*part
	for i, p := range now {
		if at := slices.IndexFunc(old, p.same); at >= 0 {
			now[i] = old[at]
			old = slices.Delete(old, at, at+1)
			continue
		}
		m.whose.last++
		p.number = m.whose.last
		fresh = append(fresh, p)
	}
	m.whose.parts[index(v6)] = now
	for i := range ways {
		for _, p := range old {
			b.ranges(unix.NFT_MSG_DELSETELEM, whosePrefix+ways[i].mapName(v6), p.locals)
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
		return p.owned[i].Range, leadsTo{counter: policyCounter(w, p.owned[i].ID)}
	})
	b.addChain(name)
	b.addRule(name, seq(w.remote(v6), countBy{set: name}))
	b.elements(unix.NFT_MSG_NEWSETELEM, whosePrefix+w.mapName(v6), len(p.locals), func(i int) (protect.Range, leadsTo) {
		return p.locals[i], leadsTo{chain: name}
	})
}

// deletePart removes a part to which nothing leads. The elements go by themselves first: older
// kernels let go of the counters of those that go with their set only after the batch.
func (b *batch) deletePart(w *purpose, v6 bool, p *part) {
	name := p.name(w, v6)
	b.deleteChain(name)
	b.elements(unix.NFT_MSG_DELSETELEM, name, len(p.owned), func(i int) (protect.Range, leadsTo) {
		return p.owned[i].Range, leadsTo{}
	})
	b.deleteSet(name)
}

// wholeWhose puts all of it into a batch with a fresh table.
func (m *image) wholeWhose(b *batch, counted map[protect.ID]Drops) {
	if !m.cfg.byPolicy {
		return
	}
	for _, id := range sortedIDs(m.whose.policies) {
		b.addPolicyCounters(id, counted[id])
	}
	for _, v6 := range families {
		for _, p := range m.whose.parts[index(v6)] {
			for i := range ways {
				b.addPart(&ways[i], v6, p)
			}
		}
	}
}

// sampleWhose has one of everything.
func sampleWhose() whose {
	all := protect.RangeOf(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
	id := protect.ID{Peer: "probe", Child: "probe"}
	p := &part{number: 1, locals: []protect.Range{all}, owned: []protect.Owned{{Range: all, ID: id}}}
	return whose{policies: map[protect.ID]bool{id: true}, parts: [2][]*part{{p}, nil}}
}
