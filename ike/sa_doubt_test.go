package ike

import (
	"testing"
	"time"
)

// A peer that was killed and restarted, but does not initiate: the probe gets no answer or
// INVALID_IKE_SPI, and soon there is a new tunnel.
func TestKilledResponderIsReplaced(t *testing.T) {
	for _, back := range []time.Duration{0, 5 * time.Second} {
		p := newPair(t, 1, func(p *testPair) {
			p.right.peers[0].Remote = nil
			p.left.peers[0].DPD = time.Second
		})
		p.up()
		p.left.traffic("lan")
		p.right.kill()
		p.drive(back)
		p.right.start()
		took := p.waitFor(2*time.Minute, func() bool {
			p.left.traffic("lan")
			return p.right.plane.senders() == 1
		})
		if took > 30*time.Second {
			p.fatalf("a new tunnel only after %v", took)
		}
	}
}
