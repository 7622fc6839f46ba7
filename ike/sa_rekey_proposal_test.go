package ike

import (
	"slices"
	"testing"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// An IKE SA is rekeyed with the PRF that it has: peers derive the keys differently when it changes.
func TestRekeyingKeepsThePRF(t *testing.T) {
	parse := func(s string) wire.Proposal {
		t.Helper()
		p, err := suite.ParseIKEProposal(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	inUse := parse("aes256gcm16-prfsha384-x25519")
	su, err := suite.NewIKESuite(inUse)
	if err != nil {
		t.Fatal(err)
	}
	sa := func(configured ...wire.Proposal) *ikeSA {
		return &ikeSA{party: &party{profile: &profile{cfg: Peer{Proposals: configured}}}, keys: saKeys{proposal: inUse, suite: su}}
	}
	offers := sa(suite.DefaultIKEProposals()...).rekeyProposals()
	if !slices.Equal(offers[0].Transforms, inUse.Transforms) {
		t.Errorf("the first offer is %v, want what is in use", offers[0])
	}
	for _, o := range offers {
		for _, tr := range o.Transforms {
			if tr.Type == wire.TransformPRF && tr != su.PRF {
				t.Errorf("%v is offered", tr)
			}
		}
	}
	other := parse("aes128gcm16-prfsha256-ecp256")
	if got := sa(other).rekeyProposals(); len(got) != 1 || !slices.Equal(got[0].Transforms, other.Transforms) {
		t.Errorf("with other algorithms configured by now %v is offered, want those", got)
	}
}
