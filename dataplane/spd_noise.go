package dataplane

import "culvert/selector"

// Noise (selector.Packet.IsNoise) must not bring up a tunnel, and most policies carry none of it.

// A namers holds the selectors of a policy of which some name noise.
type namers struct{ local, remote []selector.Selector }

// newNamers returns nil if none of the selectors names noise.
func newNamers(local, remote []selector.Selector) *namers {
	if !selector.NamesNoise(local) && !selector.NamesNoise(remote) {
		return nil
	}
	return &namers{local, remote}
}

// outboundNoise handles a packet that is noise. One that its policy's selectors name is sent as any
// other. So is the error of a router that has only link-local IPv6 addresses, with another source
// (carryError).
func (t *tx) outboundNoise(x *txPacket) {
	hdr := &x.hdr
	if s, ok := t.plane.policyFor(&hdr.Flow); ok {
		if n := s.noise.Load(); n != nil && hdr.NoiseIsNamed(n.local, n.remote) {
			t.dispatch(x, s, &hdr.Flow)
			return
		}
	}
	if hdr.ICMPError() && hdr.Src.IsLinkLocalUnicast() && !selector.NoisyAddr(hdr.Dst) {
		t.carryError(x)
		return
	}
	t.tally.add(dropNoise, 1)
}
