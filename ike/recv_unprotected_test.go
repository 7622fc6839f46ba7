package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// A restarted peer answers an unknown IKE SA with INVALID_IKE_SPI. Anybody can send that, so it
// only triggers a liveness check.
func TestInvalidSPIHint(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.up()
	a := newAttack(p)
	main, _ := a.established(p.left)
	hint := wire.Message{
		Header:   wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Response: true},
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidIKESPI}},
	}
	for range 1000 {
		a.inject(p.left, p.right.home(), hint.AppendTo(nil))
		p.drive(10 * time.Millisecond)
	}
	p.wantTunnel()
	if n := p.left.requests(wire.Informational); n > 3 {
		p.fatalf("%d probes in 10 s because of forged hints", n)
	}
}
