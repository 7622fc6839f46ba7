package protect

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// id returns the ID of the policy of a child, and childOf the child.
func id(child string) (id ID) {
	for _, b := range []byte(child) {
		id = id<<8 | ID(b)
	}
	return id
}

func childOf(id ID) string {
	var out []byte
	for ; id > 0; id >>= 8 {
		out = append([]byte{byte(id)}, out...)
	}
	return string(out)
}

func policy(child string, local, remote, bypass []netip.Prefix) Policy {
	return Policy{ID: id(child), Name: child, Local: local, Remote: remote, Bypass: bypass}
}

// protects reports whether any group of the set protects a flow.
func (s *Set) protects(src, dst string) bool {
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	for _, g := range s.Groups() {
		if slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(a) }) && g.Protects(b) {
			return true
		}
	}
	return false
}

func TestLongestPrefixDecides(t *testing.T) {
	s := NewSet()
	s.Change([]Policy{
		policy("a", prefixes("10.1.0.0/24"), prefixes("10.0.0.0/8", "fd02::/64"), prefixes("10.5.0.0/16")),
		policy("b", prefixes("10.1.0.0/24"), prefixes("10.5.7.0/24"), nil),
		policy("c", prefixes("10.9.0.0/24", "fd09::/64"), prefixes("0.0.0.0/0", "::/0"), nil),
		// Two policies with local and remote networks swapped.
		policy("d", prefixes("192.168.7.0/24", "172.16.0.0/12"), prefixes("10.2.0.0/16"), nil),
		policy("e", prefixes("10.2.5.0/24"), prefixes("172.16.0.0/12"), nil),
	}, nil)
	s.Exempt(prefixes("10.6.0.0/16"), prefixes("192.0.2.0/24"))
	for _, tt := range []struct {
		src, dst string
		want     bool
	}{
		{"10.1.0.1", "10.2.0.1", true},
		{"10.1.0.1", "10.5.0.1", false}, // bypass
		{"10.1.0.1", "10.5.7.1", true},  // another policy's longer remote network
		{"10.1.0.1", "10.1.0.2", false}, // its own local network
		{"10.1.0.1", "10.6.0.1", false}, // exempt for all
		{"10.1.0.1", "192.0.2.7", false},
		{"10.1.0.1", "11.0.0.1", false},
		{"10.9.0.1", "192.0.2.7", false}, // a full tunnel leaves the host's links outside
		{"10.9.0.1", "192.0.3.7", true},
		{"10.9.0.1", "224.0.0.5", false}, // link scope
		{"10.9.0.1", "169.254.1.1", false},
		{"fd09::1", "fe80::1", false},
		{"fd09::1", "2001:db8::1", true},
		{"10.9.9.1", "192.0.3.7", false}, // no local network
		{"192.168.7.1", "10.2.5.9", true},
		{"172.16.0.1", "10.2.5.9", true},
		{"10.2.5.9", "172.16.0.1", true},
	} {
		if got := s.protects(tt.src, tt.dst); got != tt.want {
			t.Errorf("%s to %s: protected is %v, want %v", tt.src, tt.dst, got, tt.want)
		}
	}
}

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

// slow is the reference: it visits every prefix.
func slow(g *Group, a netip.Addr) bool {
	best, protect := -1, false
	g.Prefixes(func(p netip.Prefix, k Kind) bool {
		if p.Contains(a) && p.Bits() > best {
			best, protect = p.Bits(), k == Protect
		}
		return true
	})
	return protect
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

// IDs become numbers of routing tables: a new group takes the smallest free one.
func TestIDsStaySmall(t *testing.T) {
	s := NewSet()
	add := func(i int) {
		s.Change([]Policy{policy(fmt.Sprint(i), []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)}, prefixes("10.2.0.0/16"), nil)}, nil)
	}
	for i := range 4 {
		add(i + 1)
	}
	for _, gone := range []string{"2", "1", "3"} {
		s.Change(nil, []ID{id(gone)})
	}
	for want := 1; want <= 3; want++ {
		add(10 + want)
		got := slices.IndexFunc(s.Groups(), func(g *Group) bool { return g.Local[0].Addr().As4()[3] == byte(10+want) })
		if id := s.Groups()[got].ID; id != want {
			t.Errorf("group %d of those that came later has ID %d, want %d", want, id, want)
		}
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
