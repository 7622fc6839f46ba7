package protect

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// A mirror is the state of a kernel that follows every change.
type mirror map[int]*told

type told struct {
	kinds  map[netip.Prefix]Kind
	ranges map[Range]bool
}

func (m mirror) apply(t *testing.T, c Change) {
	t.Helper()
	for _, g := range c.Groups { // what is gone leaves first: its ID may be another's already
		if g.Gone {
			if m[g.ID] == nil {
				t.Fatalf("group %d is gone, but was never there", g.ID)
			}
			delete(m, g.ID)
		}
	}
	for _, g := range c.Groups {
		if g.Gone {
			continue
		}
		if g.New != (m[g.ID] == nil) {
			t.Fatalf("group %d: new is %v", g.ID, g.New)
		}
		if g.New {
			m[g.ID] = &told{make(map[netip.Prefix]Kind), make(map[Range]bool)}
		}
		k := m[g.ID]
		maps.Copy(k.kinds, g.Set)
		for _, p := range g.Unset {
			delete(k.kinds, p)
		}
		for _, r := range g.Removed {
			if !k.ranges[r] {
				t.Fatalf("%v is removed, but was not there", r)
			}
			delete(k.ranges, r)
		}
		for _, r := range g.Added {
			if k.ranges[r] {
				t.Fatalf("%v is added twice", r)
			}
			k.ranges[r] = true
		}
	}
}

// A model holds the policies in force and the exempt prefixes that a set was given.
type model struct {
	policies  map[ID]Policy
	all, host []netip.Prefix
}

// check compares a set that followed changes with one that gets everything at once.
func (m *model) check(t *testing.T, s *Set) {
	t.Helper()
	once := NewSet()
	once.Exempt(m.all, m.host)
	once.Change(slices.Collect(maps.Values(m.policies)), nil)
	want := make(map[string]*Group)
	for _, g := range once.Groups() {
		want[fmt.Sprint(g.Local)] = g
	}
	if got := len(s.Groups()); got != len(want) {
		t.Fatalf("%d groups, want %d", got, len(want))
	}
	for _, g := range s.Groups() {
		w := want[fmt.Sprint(g.Local)]
		if w == nil {
			t.Fatalf("there is a group of %v, for which there is no policy", g.Local)
		}
		if got, want := g.kinds(), w.kinds(); !maps.Equal(got, want) {
			t.Fatalf("group %v: got %v, want %v", g.Local, got, want)
		}
		if got := joined(g.Protected); !slices.Equal(got, w.Protected) {
			t.Fatalf("group %v: protected are %v, want %v", g.Local, got, w.Protected)
		}
	}
}

// joined merges adjacent intervals of a sorted list. Changes leave them cut where a prefix begins
// or ends.
func joined(list []Range) (out []Range) {
	for _, r := range list {
		if n := len(out); n > 0 && out[n-1].Last.Next() == r.First {
			out[n-1].Last = r.Last
			continue
		}
		out = append(out, r)
	}
	return out
}

// kinds returns the prefixes of a group.
func (g *Group) kinds() map[netip.Prefix]Kind {
	out := make(map[netip.Prefix]Kind)
	g.Prefixes(func(p netip.Prefix, k Kind) bool { out[p] = k; return true })
	return out
}

// check compares the mirror with the set, and the set's intervals with its prefixes.
func (m mirror) check(t *testing.T, s *Set) {
	t.Helper()
	if len(m) != len(s.Groups()) {
		t.Fatalf("the kernel has %d groups, want %d", len(m), len(s.Groups()))
	}
	for _, g := range s.Groups() {
		k := m[g.ID]
		if want := g.kinds(); !maps.Equal(k.kinds, want) {
			t.Fatalf("group %v: the kernel has %v, want %v", g.Local, k.kinds, want)
		}
		ranges := sorted(k.ranges)
		if !slices.Equal(ranges, g.Protected) {
			t.Fatalf("group %v: the kernel has %v, want %v", g.Local, ranges, g.Protected)
		}
		for i := 1; i < len(ranges); i++ {
			if !ranges[i-1].Last.Less(ranges[i].First) {
				t.Fatalf("%v and %v overlap", ranges[i-1], ranges[i])
			}
		}
		for a := range 256 { // the networks of this test lie in 10.0.0.0/24 and fd00::/120
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(a)})
			if g.V6 {
				addr = netip.AddrFrom16([16]byte{0xfd, 15: byte(a)})
			}
			in := slices.ContainsFunc(ranges, func(r Range) bool { return !addr.Less(r.First) && !r.Last.Less(addr) })
			if in != slow(g, addr) {
				t.Fatalf("group %v: %s is protected: %v by the intervals, %v by the prefixes", g.Local, addr, in, slow(g, addr))
			}
		}
	}
}

func TestChangesAddUpToTheWhole(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 8))
		s, m, told := NewSet(), mirror{}, model{policies: make(map[ID]Policy)}
		some := func(n int) []netip.Prefix {
			var out []netip.Prefix
			for range n {
				a, bits := netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(256))}), 24+rng.IntN(9)
				if rng.IntN(2) == 0 {
					a, bits = netip.AddrFrom16([16]byte{0xfd, 15: byte(rng.IntN(256))}), 120+rng.IntN(9)
				}
				if rng.IntN(20) == 0 {
					bits = 0
				}
				p, _ := a.Prefix(bits)
				out = append(out, p)
			}
			return out
		}
		local := [][]netip.Prefix{some(2), some(1), some(3)}
		for range 40 {
			var set []Policy
			var gone []ID
			for _, i := range rng.Perm(8)[:rng.IntN(3)] {
				set = append(set, policy(fmt.Sprint(i), local[rng.IntN(3)], some(1+rng.IntN(6)), some(rng.IntN(3))))
			}
			for range rng.IntN(3) {
				gone = append(gone, id(fmt.Sprint(rng.IntN(8))))
			}
			for _, id := range gone {
				delete(told.policies, id)
			}
			for _, p := range set {
				told.policies[p.ID] = p
			}
			m.apply(t, s.Change(set, gone))
			m.check(t, s)
			told.check(t, s)
			if rng.IntN(4) == 0 {
				told.all, told.host = some(rng.IntN(3)), some(rng.IntN(3))
				m.apply(t, s.Exempt(told.all, told.host))
				m.check(t, s)
				told.check(t, s)
			}
		}
		all := mirror{}
		all.apply(t, s.Whole())
		all.check(t, s)
	}
}

// The change of one network costs the same among very many as among few.
func TestOneChangeAmongMany(t *testing.T) {
	s := NewSet()
	many := func(n int) []Policy {
		var out []Policy
		for i := range n {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			out = append(out, policy(fmt.Sprint(i), prefixes("10.1.0.0/24"), []netip.Prefix{p}, nil))
		}
		return out
	}
	s.Change(many(100_000), nil)
	c := s.Change([]Policy{policy("new", prefixes("10.1.0.0/24"), prefixes("172.16.0.0/12"), nil)}, nil)
	if len(c.Groups) != 1 || len(c.Groups[0].Set) != 1 || len(c.Groups[0].Added) != 1 || len(c.Groups[0].Removed) != 0 {
		t.Errorf("one network more changes %+v", c)
	}
}

// What leaves and comes back in one change, with another ID or by another policy, changes nothing.
func TestChangeThatEndsWhereItBegan(t *testing.T) {
	s := NewSet()
	a := policy("a", prefixes("10.1.0.0/24"), prefixes("10.2.0.0/16", "10.3.0.0/16"), prefixes("10.2.7.0/24"))
	s.Change([]Policy{a}, nil)
	b, half, rest := a, a, a
	b.ID = id("b")
	half.ID, half.Remote = id("c"), a.Remote[:1]
	rest.ID, rest.Remote, rest.Bypass = id("d"), a.Remote[1:], nil
	for i, step := range []struct {
		set  []Policy
		gone []ID
	}{
		{[]Policy{a}, nil}, {[]Policy{a}, []ID{a.ID}}, {[]Policy{b}, []ID{a.ID}}, {[]Policy{half, rest}, []ID{b.ID}}, {nil, []ID{id("never")}},
	} {
		if c := s.Change(step.set, step.gone); len(c.Groups) > 0 {
			t.Errorf("step %d changes %+v", i, c.Groups[0])
		}
	}
	if c := s.Change([]Policy{policy("e", prefixes("10.8.0.0/24"), nil, nil)}, []ID{id("e")}); len(c.Groups) > 0 {
		t.Errorf("a policy without remote networks changes %+v", c)
	}
	if c := s.Change(nil, []ID{half.ID, rest.ID}); len(c.Groups) != 1 || !c.Groups[0].Gone {
		t.Errorf("the end of all policies is %+v", c)
	}
}
