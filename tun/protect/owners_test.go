package protect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// ownersFrom returns the owners of flows from src, by the groups whose local networks hold it.
func (s *Set) ownersFrom(order []ID, src netip.Addr) []Owned {
	var in []int
	for _, g := range s.Groups() {
		if slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(src) }) {
			in = append(in, g.ID)
		}
	}
	return s.Owners(ids(order)).Of(in)
}

func in(list []Owned, dst netip.Addr) string {
	for _, x := range list {
		if !dst.Less(x.First) && !x.Last.Less(dst) {
			return childOf(x.ID)
		}
	}
	return ""
}

// slowOwner is the reference: it visits every policy and every prefix.
func (s *Set) slowOwner(policies map[string]Policy, order []ID, src, dst netip.Addr) (owner string) {
	best, deciding := -1, make(map[string]bool) // groups
	for _, g := range s.Groups() {
		if !slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(src) }) || !slow(g, dst) {
			continue
		}
		longest := -1
		g.Prefixes(func(p netip.Prefix, k Kind) bool {
			if p.Contains(dst) {
				longest = max(longest, p.Bits())
			}
			return true
		})
		if longest > best {
			best = longest
			clear(deciding)
		}
		if longest == best {
			deciding[fmt.Sprint(g.Local)] = true
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		p, ok := policies[childOf(order[i])]
		decides := func(x netip.Prefix) bool { return x.Contains(dst) && x.Bits() == best }
		if ok && deciding[fmt.Sprint(canonical(p.Local))] && slices.ContainsFunc(p.Remote, decides) {
			owner = childOf(p.ID)
		}
	}
	return owner
}

func ids(order []ID) func(func(ID) bool) { return slices.Values(order) }

func TestOwners(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 9))
		some := func(n int) []netip.Prefix {
			var out []netip.Prefix
			for range n {
				a := netip.AddrFrom4([4]byte{255, 255, 255, byte(rng.IntN(256))})
				p, _ := a.Prefix(24 + rng.IntN(9))
				out = append(out, p)
			}
			return out
		}
		local := [][]netip.Prefix{prefixes("10.0.0.0/24"), prefixes("10.0.0.0/25"), prefixes("10.0.0.64/26", "10.0.1.0/24")}
		s, policies := NewSet(), make(map[string]Policy)
		var order []ID
		for i := range 8 {
			p := policy(fmt.Sprint(i), local[rng.IntN(3)], some(1+rng.IntN(5)), some(rng.IntN(2)))
			s.Change([]Policy{p}, nil)
			if policies[childOf(p.ID)] = p; i > 1 { // the first two have no owner
				order = append(order, p.ID)
			}
		}
		s.Exempt(some(2), nil)
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, text := range []string{"10.0.0.1", "10.0.0.65", "10.0.0.200", "10.0.1.1", "10.0.2.1"} {
			src := netip.MustParseAddr(text)
			owned := s.ownersFrom(order, src)
			for i := range 256 {
				dst := netip.AddrFrom4([4]byte{255, 255, 255, byte(i)})
				if got, want := in(owned, dst), s.slowOwner(policies, order, src, dst); got != want {
					t.Fatalf("seed %d: %s to %s belongs to %q, want %q", seed, src, dst, got, want)
				}
			}
		}
	}
}

func TestOwnersOfNeighbours(t *testing.T) {
	s, here := NewSet(), prefixes("10.1.0.0/24", "fd01::/64")
	s.Change([]Policy{
		policy("a", here, prefixes("0.0.0.0/0", "fd02::/64"), nil),
		policy("b", here, prefixes("10.2.0.0/24", "10.2.1.0/24"), nil),
		policy("c", here, prefixes("10.2.2.0/24", "fd03::/64"), prefixes("10.3.0.0/16")),
	}, nil)
	var got []string
	o := s.Owners(ids([]ID{id("b"), id("none"), id("c")}))
	for _, g := range s.Groups() {
		for _, x := range o.Of([]int{g.ID}) {
			got = append(got, fmt.Sprint(x.First, " ", x.Last, " ", o.Name(x.ID)))
		}
	}
	want := []string{"10.2.0.0 10.2.1.255 b", "10.2.2.0 10.2.2.255 c", "fd03:: fd03::ffff:ffff:ffff:ffff c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []ID{id("b"), id("c")}; !slices.Equal(o.Policies(), want) {
		t.Errorf("owners are %v", o.Policies())
	}
}

// The cost of owners is bounded for every configuration.
func TestOwnersAreBounded(t *testing.T) {
	network := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	networks := func(from, n int) (out []netip.Prefix) {
		for i := range n {
			out = append(out, network(from+i))
		}
		return out
	}
	local := prefixes("10.1.0.0/24")
	owners := func(policies ...Policy) (known []string, intervals int) {
		s := NewSet()
		s.Change(policies, nil)
		var order []ID
		for _, p := range policies {
			order = append(order, p.ID)
		}
		o := s.Owners(ids(order))
		for _, p := range o.Policies() {
			known = append(known, childOf(p))
		}
		for _, g := range s.Groups() {
			intervals += len(o.Of([]int{g.ID}))
		}
		return known, intervals
	}
	var each, groups []Policy
	for i := range 300 {
		each = append(each, policy(fmt.Sprint(i), local, networks(2*i, 1), nil))
		groups = append(groups, policy(fmt.Sprint(i), []netip.Prefix{network(1000 + i)}, networks(0, 1), nil))
	}
	if known, n := owners(each...); len(known) != maxOwners || known[255] != "255" || n != maxOwners {
		t.Errorf("of 300 policies %d have %d intervals", len(known), n)
	}
	if known, n := owners(groups...); len(known) != maxOwnerGroups || n != maxOwnerGroups {
		t.Errorf("of 300 groups %d have %d intervals", len(known), n)
	}
	big, small := policy("big", local, networks(0, maxOwned), nil), policy("small", local, prefixes("10.9.0.0/16"), nil)
	if known, n := owners(small, big); !slices.Equal(known, []string{"small"}) || n != 1 {
		t.Errorf("with a large policy owners are %q with %d intervals", known, n)
	}
	fits := policy("fits", local, networks(0, maxOwned-1), nil)
	if known, n := owners(small, fits); len(known) != 2 || n != 2 {
		t.Errorf("with a policy that just fits, owners are %q with %d intervals", known, n)
	}
	around, within := policy("around", local, prefixes("100.0.0.0/8"), nil), policy("within", local, networks(0, maxOwnerVisits), nil)
	if known, n := owners(small, around, within); len(known) != 2 || n != 1 {
		t.Errorf("with a network that holds many others, owners are %q with %d intervals", known, n)
	}
}

// BenchmarkOwners measures what owners add to each change of the policies.
func BenchmarkOwners(b *testing.B) {
	s := NewSet()
	var list []Policy
	var order []ID
	for i := range 100_000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 15), byte(i >> 7), byte(i << 1)}), 32)
		list = append(list, policy(fmt.Sprint(i), prefixes("10.1.0.0/24"), []netip.Prefix{p}, nil))
		order = append(order, list[i].ID)
	}
	s.Change(list, nil)
	for b.Loop() {
		s.Owners(ids(order)).Of([]int{1})
	}
}
