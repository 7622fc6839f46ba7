package adversary

import (
	"encoding/binary"

	"culvert/ike/wire"
)

// IKE_SA_INIT, in both roles (RFC 7296, Section 1.2).

// Connect begins an IKE SA, and returns the request.
func (p *Peer) Connect() [][]byte {
	s := p.newSA(true)
	s.SPIi, s.ni, s.nextID = p.newSPI(), p.octets(32), 1
	return p.askInit(s, transform(p.IKE, wire.TransformKE).ID)
}

// maxInits is how often one IKE_SA_INIT request is sent, with cookies and other groups.
const maxInits = 4

// askInit sends the request with a public value of the group, and the cookie if there is one.
func (p *Peer) askInit(s *SA, group wire.TransformID) [][]byte {
	ke, err := p.Groups.New(group)
	if s.asked++; err != nil || s.asked > maxInits {
		return nil
	}
	s.ke = ke
	proposal := p.IKE
	proposal.Number = 1
	var ps []wire.Payload
	if s.cookie != nil {
		ps = append(ps, &wire.Notify{Kind: wire.Cookie, Data: s.cookie})
	}
	ps = append(ps, &wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.KE{Group: group, Data: ke.Public()}, &wire.Nonce{Data: s.ni})
	return p.out(s, InitRequest, s.header(wire.IKESAInit, 0, false), append(ps, p.Extra...))
}

// initResponse takes the response to our IKE_SA_INIT request. A cookie, or another group, has it
// sent again.
func (p *Peer) initResponse(s *SA, m *wire.Message, data []byte) [][]byte {
	p.Got = append(p.Got, Message{m.Header, m.Payloads, InitRequest})
	if s.keys != nil {
		return nil
	}
	if n, ok := wire.FindNotify(m.Payloads, wire.Cookie); ok && s.cookie == nil {
		s.cookie = n.Data
		return p.askInit(s, transform(p.IKE, wire.TransformKE).ID)
	}
	if n, ok := wire.FindNotify(m.Payloads, wire.InvalidKEPayload); ok && len(n.Data) == 2 {
		return p.askInit(s, wire.TransformID(binary.BigEndian.Uint16(n.Data)))
	}
	ke, nonce, chosen := keyExchange(m.Payloads)
	if ke == nil || nonce == nil || chosen == nil {
		return nil
	}
	s.SPIr, s.nr, s.messages[1] = m.ResponderSPI, nonce.Data, data
	if !p.derive(s, *chosen, ke.Data) {
		return nil
	}
	return p.askAuth(s)
}

// initRequest answers an IKE_SA_INIT request.
func (p *Peer) initRequest(m *wire.Message, data []byte) [][]byte {
	p.Got = append(p.Got, Message{m.Header, m.Payloads, Stages})
	ke, nonce, _ := keyExchange(m.Payloads)
	number, _, ok := agree(p.IKE, m.Payloads)
	if ke == nil || nonce == nil || !ok {
		return nil
	}
	own, err := p.Groups.New(ke.Group)
	if err != nil {
		return nil
	}
	s := p.newSA(false)
	s.SPIi, s.SPIr, s.ke = m.InitiatorSPI, p.newSPI(), own
	s.ni, s.nr, s.messages[0] = nonce.Data, p.octets(32), data
	proposal := p.IKE
	proposal.Number = number
	if !p.derive(s, proposal, ke.Data) {
		return nil
	}
	ps := []wire.Payload{&wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.KE{Group: ke.Group, Data: own.Public()}, &wire.Nonce{Data: s.nr}}
	return p.out(s, InitResponse, s.header(wire.IKESAInit, 0, true), append(ps, p.Extra...))
}

// keyExchange returns what IKE_SA_INIT and CREATE_CHILD_SA bring for a key exchange; what is not
// there is nil.
func keyExchange(ps []wire.Payload) (*wire.KE, *wire.Nonce, *wire.Proposal) {
	ke, _ := wire.Find[*wire.KE](ps)
	nonce, _ := wire.Find[*wire.Nonce](ps)
	if sa, ok := wire.Find[*wire.SA](ps); ok && len(sa.Proposals) > 0 {
		return ke, nonce, &sa.Proposals[0]
	}
	return ke, nonce, nil
}

// agree returns the number and the SPI of the first proposal that has all transforms of ours.
func agree(ours wire.Proposal, ps []wire.Payload) (number uint8, spi []byte, ok bool) {
	sa, _ := wire.Find[*wire.SA](ps)
	if sa == nil {
		return 0, nil, false
	}
	for _, p := range sa.Proposals {
		if p.Protocol == ours.Protocol && hasAll(p.Transforms, ours.Transforms) {
			return p.Number, p.SPI, true
		}
	}
	return 0, nil, false
}

func hasAll(list, want []wire.Transform) bool {
	have := map[wire.Transform]bool{}
	for _, t := range list {
		have[t] = true
	}
	for _, t := range want {
		if !have[t] {
			return false
		}
	}
	return true
}
