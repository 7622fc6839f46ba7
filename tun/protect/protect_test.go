package protect

import (
	"fmt"
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
