package suite

import (
	"slices"
	"testing"

	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// TestDefaults: the first choice of two culverts, and proposals that a peer with other preferences
// finds among the defaults.
func TestDefaults(t *testing.T) {
	ike, esp := DefaultIKEProposals(), DefaultESPProposals()
	first := func(p wire.Proposal) string {
		for choice := range choices(p) {
			return proposalName(choice)
		}
		return ""
	}
	if got, want := first(ike[0]), "aes256gcm16-prfsha384-x25519"; got != want {
		t.Errorf("two culverts would choose %s for IKE, want %s", got, want)
	}
	if got, want := first(esp[0]), "aes128gcm16-x25519-esn"; got != want {
		t.Errorf("two culverts would choose %s for ESP, want %s", got, want)
	}
	if got := proposal.Distinct(proposal.WithoutKE(esp)); len(got) != 2 || first(got[0]) != "aes128gcm16-esn" || first(got[1]) != "aes128-sha256-esn" {
		t.Errorf("in IKE_AUTH %v is offered, want two proposals", got)
	}
	for _, text := range []string{"aes128-sha256-x25519", "aes256-sha512-modp2048", "aes128gcm16-prfsha256-ecp256", "chacha20poly1305-prfsha512-ecp521"} {
		if !slices.ContainsFunc(ike, func(p wire.Proposal) bool { return contains(p, mustIKE(t, text)) }) {
			t.Errorf("the defaults do not hold %s", text)
		}
	}
	for _, text := range []string{"aes128gcm16-noesn", "aes192gcm16-esn", "aes256gcm16-noesn", "chacha20poly1305-noesn", "aes128gcm16-modp2048-noesn", "aes256gcm16-ecp384-esn", "aes128-sha256-noesn", "aes256-sha512-modp2048-noesn", "aes256-sha384-esn"} {
		if !slices.ContainsFunc(esp, func(p wire.Proposal) bool { return contains(p, mustESP(t, text)) }) {
			t.Errorf("the defaults do not hold %s", text)
		}
	}
	for _, p := range slices.Concat(ike, esp) {
		for _, tr := range p.Transforms {
			if why := Weak(tr); why != "" {
				t.Errorf("%v is offered by default: it %s", tr, why)
			}
		}
	}
	// Culverts choose an AEAD, whatever the one that answers puts first.
	for _, theirs := range [][]wire.Proposal{esp, {esp[2], esp[3], esp[0], esp[1]}} {
		offer := proposal.Numbered(theirs, []byte{0, 0, 1, 0})
		if got, ok := proposal.Choose(esp, offer); !ok || proposalName(got) != "aes128gcm16-x25519-esn" {
			t.Errorf("two culverts choose %v", got)
		}
	}
	ike[0].Transforms[0].ID, esp[0].Number = 0, 9
	if DefaultIKEProposals()[0].Transforms[0].ID == 0 || DefaultESPProposals()[0].Number != 1 {
		t.Error("the defaults are not the caller's own")
	}
}

func contains(p, part wire.Proposal) bool {
	return !slices.ContainsFunc(part.Transforms, func(t wire.Transform) bool { return !slices.Contains(p.Transforms, t) })
}

func TestParsedPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a default proposal that cannot be read went unnoticed")
		}
	}()
	parsed(ParseESPProposal, "nonsense")
}
