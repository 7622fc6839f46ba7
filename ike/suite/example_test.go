package suite_test

import (
	"bytes"
	"fmt"

	"culvert/ike/suite"
)

// Both peers derive the same keys of the IKE SA from the nonces and the shared secret of the key
// exchange (RFC 7296, Section 2.14).
func ExampleIKESuite_Keys() {
	proposal, err := suite.ParseIKEProposal("aes256gcm16-prfsha384-x25519")
	if err != nil {
		panic(err)
	}
	s, err := suite.NewIKESuite(proposal)
	if err != nil {
		panic(err)
	}
	initiator, err := suite.NewKE(s.KE.ID)
	if err != nil {
		panic(err)
	}
	responder, err := suite.NewKE(s.KE.ID)
	if err != nil {
		panic(err)
	}

	ni, nr := make([]byte, 32), make([]byte, 32) // real nonces are random
	keys := func(own, peer suite.KeyExchange) *suite.Keys {
		shared, err := own.Shared(peer.Public())
		if err != nil {
			panic(err)
		}
		return s.Keys(s.SKEYSEED(ni, nr, shared), ni, nr, 1, 2)
	}
	mine, theirs := keys(initiator, responder), keys(responder, initiator)
	fmt.Println(len(mine.D), len(mine.Ai), len(mine.Ei), bytes.Equal(mine.Pr, theirs.Pr))
	// Output: 48 0 36 true
}
