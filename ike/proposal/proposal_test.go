package proposal

import (
	"slices"
	"testing"

	"culvert/ike/wire"
)

// TestPreferring puts the proposals that have a key exchange, or that have none, in front, and
// keeps all of them.
func TestPreferring(t *testing.T) {
	group := func(ids ...wire.TransformID) (p wire.Proposal) {
		for _, id := range ids {
			p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformKE, ID: id})
		}
		return p
	}
	both, ecp, none := group(wire.GroupX25519, wire.GroupECP256), group(wire.GroupECP256), group()
	none.Number = 7
	all := []wire.Proposal{both, none, ecp}
	for want, list := range map[wire.TransformID][]wire.Proposal{
		wire.GroupX25519: {both, none, ecp}, wire.GroupECP256: {both, ecp, none}, wire.GroupNone: {none, both, ecp}, wire.GroupMODP2048: all,
	} {
		got := Preferring(all, want)
		if !slices.EqualFunc(got, list, func(a, b wire.Proposal) bool { return a.Number == b.Number && slices.Equal(a.Transforms, b.Transforms) }) {
			t.Errorf("preferring %v: %v, want %v", want, got, list)
		}
	}
}
