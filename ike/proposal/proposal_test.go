package proposal

import (
	"slices"
	"testing"

	"culvert/ike/proposal/proposaltest"
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

// TestGroups: which key exchange a proposal has first, whether one is offered at all, and their
// names.
func TestGroups(t *testing.T) {
	offers := proposaltest.Parse(t, "ike gcm128 prf256 x25519 ecp256; ike gcm256 prf256 ecp256; esp gcm128 noesn; esp gcm128 noke noesn")
	for i, want := range []wire.TransformID{wire.GroupX25519, wire.GroupECP256, wire.GroupNone, wire.GroupNone} {
		if got := Group(offers[i]); got != want {
			t.Errorf("proposal %d has the group %v, want %v", i, got, want)
		}
	}
	for group, want := range map[wire.TransformID]bool{wire.GroupX25519: true, wire.GroupECP256: true, wire.GroupMODP2048: false, wire.GroupNone: false} {
		if got := OffersGroup(offers, group); got != want {
			t.Errorf("group %v is offered: %v", group, got)
		}
	}
	if got := Groups(offers); got != "x25519, ecp256" {
		t.Errorf("the groups are %q", got)
	}
	if got := Groups(offers[2:]); got != "" {
		t.Errorf("the groups of none are %q", got)
	}
}

// TestNumbered numbers from 1, gives each the SPI, and leaves what it is given.
func TestNumbered(t *testing.T) {
	ps := proposaltest.Parse(t, "esp gcm128 noesn; esp cc20 noesn")
	ps[0].Number, ps[1].Number = 9, 9
	got := Numbered(ps, []byte{1, 2, 3, 4})
	for i, p := range got {
		if int(p.Number) != i+1 || string(p.SPI) != "\x01\x02\x03\x04" || !slices.Equal(p.Transforms, ps[i].Transforms) {
			t.Errorf("proposal %d: %+v", i, p)
		}
	}
	if len(got) != 2 || ps[0].Number != 9 {
		t.Errorf("%d proposals; the first was changed to number %d", len(got), ps[0].Number)
	}
}

// TestDistinct keeps the first of those that are equal, in their order.
func TestDistinct(t *testing.T) {
	ps := proposaltest.Parse(t, "esp gcm128 noesn; esp cc20 noesn; esp gcm128 noesn; esp gcm128 esn noesn; esp cc20 noesn")
	for i := range ps {
		ps[i].Number = uint8(i)
	}
	var got []uint8
	for _, p := range Distinct(ps) {
		got = append(got, p.Number)
	}
	if !slices.Equal(got, []uint8{0, 1, 3}) {
		t.Errorf("kept %v", got)
	}
	if Distinct(nil) != nil {
		t.Error("something of nothing")
	}
}

// TestWithPRF leaves one PRF, and everything that is not one.
func TestWithPRF(t *testing.T) {
	p := proposaltest.Parse(t, "ike gcm128 prf384 prf256 x25519")[0]
	got, ok := WithPRF(p, proposaltest.Transforms["prf256"])
	if !ok || words(got) != "gcm128 prf256 x25519" || words(p) != "gcm128 prf256 prf384 x25519" {
		t.Errorf("got %q, %v, of %q", words(got), ok, words(p))
	}
	if _, ok := WithPRF(got, proposaltest.Transforms["prf384"]); ok {
		t.Error("a PRF that the proposal lacks is found")
	}
}
