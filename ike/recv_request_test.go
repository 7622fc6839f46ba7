package ike

import (
	"testing"

	"culvert/ike/wire"
)

func TestReasonAfterMalformedRequest(t *testing.T) {
	p := newPair(t, 3, nil)
	p.up()
	a := newAttack(p)
	a.asPeer(p.right, wire.CreateChildSA, &wire.Nonce{Data: make([]byte, 32)})
	p.wantReason(p.right, "malformed")
}
