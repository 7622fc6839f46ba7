package adversary

import (
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// IKE_AUTH, in both roles (RFC 7296, Section 1.2).

// askAuth sends the IKE_AUTH request.
func (p *Peer) askAuth(s *SA) [][]byte {
	id := p.ID
	id.Responder = false
	spi := p.octets(4)
	ps := append([]wire.Payload{&id}, p.prove(s, &id)...)
	ps = append(ps, p.childOffer(spi, nil)...)
	return p.Ask(s, AuthRequest, wire.IKEAuth, ps, func(ps []wire.Payload) [][]byte {
		p.authResponse(s, ps, spi)
		return nil
	})
}

// authResponse takes the response to the peer's IKE_AUTH request.
func (p *Peer) authResponse(s *SA, ps []wire.Payload, spi []byte) {
	if _, refused := wire.FindError(ps); refused {
		if _, ok := wire.Find[*wire.Auth](ps); !ok {
			return
		}
	}
	s.Established, s.Proved = true, p.proved(s, ps)
	if _, _, chosen := keyExchange(ps); chosen != nil {
		c := &Child{SPIIn: spi, SPIOut: chosen.SPI}
		c.TSi, c.TSr = selectorsOf(ps)
		s.addChild(c, *chosen, true, nil, s.ni, s.nr)
	}
}

// authRequest answers an IKE_AUTH request.
func (p *Peer) authRequest(s *SA, ps []wire.Payload) (Stage, []wire.Payload, func()) {
	id := p.ID
	id.Responder = true
	answer := append([]wire.Payload{&id}, p.prove(s, &id)...)
	proved := p.proved(s, ps)
	number, spi, ok := agree(p.ESP, ps)
	if !ok {
		return AuthResponse, answer, func() { s.Established, s.Proved = true, proved }
	}
	c := &Child{SPIIn: p.octets(4), SPIOut: spi}
	c.TSi, c.TSr = selectorsOf(ps)
	return AuthResponse, append(answer, p.childGrant(c, number, nil)...), func() {
		s.Established, s.Proved = true, proved
		s.addChild(c, p.ESP, false, nil, s.ni, s.nr)
	}
}

// signed returns the octets that one side signs.
func (s *SA) signed(initiator bool, id *wire.ID) *suite.SignedOctets {
	prf := s.suite.Prf()
	if initiator {
		return &suite.SignedOctets{PRF: prf, FirstMessage: s.messages[0], PeerNonce: s.nr, MACedID: suite.MACedID(prf, s.keys.Pi, id)}
	}
	return &suite.SignedOctets{PRF: prf, FirstMessage: s.messages[1], PeerNonce: s.ni, MACedID: suite.MACedID(prf, s.keys.Pr, id)}
}

// prove returns the payloads by which the peer proves itself.
func (p *Peer) prove(s *SA, id *wire.ID) []wire.Payload {
	signed := s.signed(s.Initiator, id)
	if p.Prove != nil {
		return p.Prove(signed.Bytes())
	}
	return []wire.Payload{&wire.Auth{Method: wire.AuthSharedKey, Data: signed.PSKAuth(p.PSK)}}
}

// proved reports whether the other side's message proves that it has the PSK.
func (p *Peer) proved(s *SA, ps []wire.Payload) bool {
	id, _ := wire.FindID(ps, s.Initiator)
	auth, _ := wire.Find[*wire.Auth](ps)
	return id != nil && auth != nil && s.signed(!s.Initiator, id).VerifyPSKAuth(auth.Data, p.PSK)
}
