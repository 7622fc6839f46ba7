package guard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"culvert/tun/protect"
)

// policies draws policies among few addresses, so that they overlap, also at both ends of a
// family's addresses.
type policies struct{ rng *rand.Rand }

func (p *policies) address() netip.Addr {
	switch i := byte(p.rng.IntN(64)); p.rng.IntN(4) {
	case 0:
		return netip.AddrFrom4([4]byte{10, 0, 0, i})
	case 1:
		return netip.AddrFrom4([4]byte{255, 255, 255, 192 + i})
	case 2:
		return netip.AddrFrom16([16]byte{0xfd, 15: i})
	default:
		a := [16]byte{15: 192 + i}
		for j := range 15 {
			a[j] = 0xff
		}
		return netip.AddrFrom16(a)
	}
}

func (p *policies) prefixes(n int) []netip.Prefix {
	var out []netip.Prefix
	for range n {
		a := p.address()
		x, _ := a.Prefix(a.BitLen() - p.rng.IntN(7))
		out = append(out, x)
	}
	return out
}

// change makes a random change in a set.
func (p *policies) change(s *protect.Set, locals [][]netip.Prefix) protect.Change {
	if p.rng.IntN(5) == 0 {
		return s.Exempt(p.prefixes(p.rng.IntN(3)), nil)
	}
	var set []protect.Policy
	var gone []protect.ID
	for range p.rng.IntN(4) {
		set = append(set, policy(fmt.Sprint(p.rng.IntN(9)), locals[p.rng.IntN(len(locals))], p.prefixes(1+p.rng.IntN(6))))
	}
	for range p.rng.IntN(3) {
		gone = append(gone, peerChild(fmt.Sprint(p.rng.IntN(9))))
	}
	return s.Change(set, gone)
}

// protects reports whether any group of a set protects a flow.
func protects(s *protect.Set, src, dst netip.Addr) bool {
	return slices.ContainsFunc(s.Groups(), func(g *protect.Group) bool {
		return slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(src) }) && g.Protects(dst)
	})
}
