package ike

import (
	"errors"
	"testing"

	"culvert/ike/wire"
)

// TestGroupChoice: only another group that is offered is followed, and at most maxGroups times.
func TestGroupChoice(t *testing.T) {
	offers := []wire.Proposal{withGroup(testIKEProposal, wire.GroupX25519), withGroup(testIKEProposal, wire.GroupECP256)}
	x25519, ecp256 := []byte{0, byte(wire.GroupX25519)}, []byte{0, byte(wire.GroupECP256)}
	c := groupChoice{group: wire.GroupX25519}
	for _, data := range [][]byte{nil, {0}, append([]byte{0}, ecp256...)} {
		if err := c.correct(data, offers); !errors.Is(err, errGroupIgnored) {
			t.Errorf("correct(%x) = %v, want it to be ignored", data, err)
		}
	}
	for _, data := range [][]byte{x25519, {0, byte(wire.GroupMODP2048)}, {0, 0}} {
		if err := c.correct(data, offers); err == nil || errors.Is(err, errGroupIgnored) {
			t.Errorf("correct(%x) = %v, want that it is not offered", data, err)
		}
	}
	if want := (groupChoice{group: wire.GroupX25519}); c != want {
		t.Errorf("refused notifies change the choice to %+v", c)
	}
	for i := range maxGroups {
		data := [][]byte{ecp256, x25519}[i%2]
		if err := c.correct(data, offers); err != nil || c.group != wire.TransformID(data[1]) || c.corrections != i+1 {
			t.Fatalf("correct(%x) = %v and %+v", data, err, c)
		}
	}
	if err := c.correct(x25519, offers); !errors.Is(err, errGroupIgnored) {
		t.Errorf("correction %d: %v, want it to be ignored", maxGroups+1, err)
	}
}
