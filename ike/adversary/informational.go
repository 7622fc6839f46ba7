package adversary

import (
	"slices"

	"culvert/ike/wire"
)

// INFORMATIONAL, in both roles (RFC 7296, Section 1.4).

// Probe asks whether the other side is alive.
func (p *Peer) Probe(s *SA) [][]byte { return p.Ask(s, LivenessRequest, wire.Informational, nil, nil) }

// DeleteChild deletes a Child SA.
func (p *Peer) DeleteChild(s *SA, c *Child) [][]byte {
	s.Children = slices.DeleteFunc(s.Children, func(o *Child) bool { return o == c })
	ps := []wire.Payload{&wire.Delete{Protocol: wire.ProtoESP, SPISize: 4, SPIs: [][]byte{c.SPIIn}}}
	return p.Ask(s, DeleteChildRequest, wire.Informational, ps, nil)
}

// DeleteIKE deletes the IKE SA.
func (p *Peer) DeleteIKE(s *SA) [][]byte {
	return p.Ask(s, DeleteIKERequest, wire.Informational, []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, func([]wire.Payload) [][]byte {
		s.Dead = true
		return nil
	})
}

// informational answers an INFORMATIONAL request.
func (s *SA) informational(ps []wire.Payload) (Stage, []wire.Payload, func()) {
	d, ok := wire.Find[*wire.Delete](ps)
	switch {
	case !ok:
		return LivenessResponse, nil, nil
	case d.Protocol == wire.ProtoIKE:
		return DeleteIKEResponse, nil, func() { s.Dead = true }
	}
	answer := &wire.Delete{Protocol: wire.ProtoESP, SPISize: 4}
	for _, spi := range d.SPIs {
		if c := s.child(spi); c != nil {
			answer.SPIs = append(answer.SPIs, c.SPIIn)
			s.Children = slices.DeleteFunc(s.Children, func(o *Child) bool { return o == c })
		}
	}
	if answer.SPIs == nil {
		return DeleteChildResponse, nil, nil
	}
	return DeleteChildResponse, []wire.Payload{answer}, nil
}
