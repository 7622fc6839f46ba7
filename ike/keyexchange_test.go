package ike

import (
	"errors"
	"strings"
	"testing"

	"culvert/ike/reason"
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
	for want, data := range map[string][]byte{
		"names key exchange x25519, which is the one we sent":                     x25519,
		"the peer wants key exchange modp2048, which we do not offer; we offer x": {0, byte(wire.GroupMODP2048)},
		"without one that we offer; we offer x25519, ecp256":                      {0, 0},
	} {
		err, f := c.correct(data, offers), c.groupFacts(reason.IKEProposal, wire.IKESAInit, data, offers)
		if !errors.Is(err, errGroupIgnored) || !strings.HasPrefix(f.Bare(), "no common key exchange for IKE: ") || !strings.Contains(f.Bare(), want) {
			t.Errorf("correct(%x) = %v, explained by %q, want %q", data, err, f.Bare(), want)
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
	const often = "the peer asks for another key exchange once too often (INVALID_KE_PAYLOAD, 4 times), at last for x25519; we offer x25519, ecp256"
	if f := c.groupFacts(reason.ESPProposal, wire.CreateChildSA, x25519, offers); f.Bare() != often {
		t.Errorf("explained by %q", f.Bare())
	}
}
