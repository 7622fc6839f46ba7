package adversary

import (
	"bytes"
	"encoding/binary"

	"culvert/ike/wire"
)

// CREATE_CHILD_SA, in both roles (RFC 7296, Section 1.3).

// childOffer returns SA, TSi and TSr of a Child SA that the peer asks for, with more payloads
// between them.
func (p *Peer) childOffer(spi []byte, more []wire.Payload) []wire.Payload {
	return p.childGrant(&Child{SPIIn: spi, TSi: p.Local, TSr: p.Remote}, 1, more)
}

// childGrant returns the same of one that the other side asked for, with all that it asked for.
func (p *Peer) childGrant(c *Child, number uint8, more []wire.Payload) []wire.Payload {
	proposal := p.ESP
	proposal.Number, proposal.SPI = number, c.SPIIn
	ps := append([]wire.Payload{&wire.SA{Proposals: []wire.Proposal{proposal}}}, more...)
	return append(ps, &wire.TS{Selectors: c.TSi}, &wire.TS{Responder: true, Selectors: c.TSr})
}

func selectorsOf(ps []wire.Payload) (i, r []wire.TrafficSelector) {
	if ts, ok := wire.FindTS(ps, false); ok {
		i = ts.Selectors
	}
	if ts, ok := wire.FindTS(ps, true); ok {
		r = ts.Selectors
	}
	return i, r
}

// NewChild asks for a Child SA.
func (p *Peer) NewChild(s *SA) [][]byte { return p.askChild(s, NewChildRequest, nil) }

// RekeyChild asks to rekey a Child SA.
func (p *Peer) RekeyChild(s *SA, old *Child) [][]byte { return p.askChild(s, RekeyChildRequest, old) }

func (p *Peer) askChild(s *SA, stage Stage, old *Child) [][]byte {
	spi, ni := p.octets(4), p.octets(32)
	more := []wire.Payload{&wire.Nonce{Data: ni}}
	group := transform(p.ESP, wire.TransformKE).ID
	ke, err := p.Groups.New(group)
	if err == nil && group != wire.GroupNone {
		more = append(more, &wire.KE{Group: group, Data: ke.Public()})
	}
	ps := p.childOffer(spi, more)
	if old != nil {
		ps = append([]wire.Payload{&wire.Notify{Protocol: wire.ProtoESP, Kind: wire.RekeySA, SPI: old.SPIIn}}, ps...)
	}
	return p.Ask(s, stage, wire.CreateChildSA, ps, func(ps []wire.Payload) [][]byte {
		theirs, nonce, chosen := keyExchange(ps)
		if nonce == nil || chosen == nil {
			return nil
		}
		var shared []byte
		if theirs != nil && ke != nil {
			if shared, err = ke.Shared(theirs.Data); err != nil {
				return nil
			}
		}
		c := &Child{SPIIn: spi, SPIOut: chosen.SPI}
		c.TSi, c.TSr = selectorsOf(ps)
		if !s.addChild(c, *chosen, true, shared, ni, nonce.Data) || old == nil {
			return nil
		}
		old.Rekeyed = true
		return p.DeleteChild(s, old)
	})
}

// childRequest answers a CREATE_CHILD_SA request.
func (p *Peer) childRequest(s *SA, ps []wire.Payload) (Stage, []wire.Payload, func()) {
	ke, nonce, offered := keyExchange(ps)
	if nonce == nil || offered == nil {
		return Stages, nil, nil
	}
	if offered.Protocol == wire.ProtoIKE {
		return p.rekeyRequest(s, ps)
	}
	stage := NewChildResponse
	var old *Child
	if n, ok := wire.FindNotify(ps, wire.RekeySA); ok {
		stage, old = RekeyChildResponse, s.child(n.SPI)
	}
	number, spi, ok := agree(p.ESP, ps)
	if !ok {
		return stage, []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}, nil
	}
	c := &Child{SPIIn: p.octets(4), SPIOut: spi}
	c.TSi, c.TSr = selectorsOf(ps)
	nr := p.octets(32)
	more := []wire.Payload{&wire.Nonce{Data: nr}}
	var shared []byte
	if ke != nil && transform(p.ESP, wire.TransformKE).ID == ke.Group {
		if own, err := p.Groups.New(ke.Group); err == nil {
			shared, _ = own.Shared(ke.Data)
			more = append(more, &wire.KE{Group: ke.Group, Data: own.Public()})
		}
	}
	return stage, p.childGrant(c, number, more), func() {
		s.addChild(c, p.ESP, false, shared, nonce.Data, nr)
		if old != nil {
			old.Rekeyed = true
		}
	}
}

// child returns the Child SA that the other side names, or nil: by the SPI that it receives by.
func (s *SA) child(spi []byte) *Child {
	for _, c := range s.Children {
		if bytes.Equal(c.SPIOut, spi) {
			return c
		}
	}
	return nil
}

// RekeyIKE asks to rekey the IKE SA.
func (p *Peer) RekeyIKE(s *SA) [][]byte {
	next := &SA{Initiator: true, Predecessor: s, ni: p.octets(32), SPIi: p.newSPI()}
	group := transform(p.IKE, wire.TransformKE).ID
	ke, err := p.Groups.New(group)
	if err != nil {
		return nil
	}
	next.ke = ke
	return p.Ask(s, RekeyIKERequest, wire.CreateChildSA, p.ikeOffer(1, next.SPIi, next.ni, group, ke.Public()), func(ps []wire.Payload) [][]byte {
		theirs, nonce, chosen := keyExchange(ps)
		if theirs == nil || nonce == nil || chosen == nil || len(chosen.SPI) != 8 {
			return nil
		}
		next.SPIr, next.nr = wire.SPI(binary.BigEndian.Uint64(chosen.SPI)), nonce.Data
		if !p.derive(next, *chosen, theirs.Data) {
			return nil
		}
		p.succeed(s, next)
		return p.DeleteIKE(s)
	})
}

func (p *Peer) ikeOffer(number uint8, spi wire.SPI, nonce []byte, group wire.TransformID, public []byte) []wire.Payload {
	proposal := p.IKE
	proposal.Number, proposal.SPI = number, binary.BigEndian.AppendUint64(nil, uint64(spi))
	return []wire.Payload{&wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.Nonce{Data: nonce}, &wire.KE{Group: group, Data: public}}
}

// succeed has a new IKE SA take over the children of the old one.
func (p *Peer) succeed(old, next *SA) {
	s := p.newSA(next.Initiator)
	next.waiting, next.joins, next.answers = s.waiting, s.joins, s.answers
	*s = *next
	s.Established, s.Proved = true, old.Proved
	s.Children, old.Children = old.Children, nil
}

// rekeyRequest answers a request to rekey the IKE SA.
func (p *Peer) rekeyRequest(s *SA, ps []wire.Payload) (Stage, []wire.Payload, func()) {
	ke, nonce, _ := keyExchange(ps)
	number, spi, ok := agree(p.IKE, ps)
	if ke == nil || !ok || len(spi) != 8 {
		return RekeyIKEResponse, []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}, nil
	}
	own, err := p.Groups.New(ke.Group)
	if err != nil {
		return Stages, nil, nil
	}
	next := &SA{Predecessor: s, ni: nonce.Data, nr: p.octets(32), ke: own, SPIi: wire.SPI(binary.BigEndian.Uint64(spi)), SPIr: p.newSPI()}
	proposal := p.IKE
	proposal.Number = number
	if !p.derive(next, proposal, ke.Data) {
		return Stages, nil, nil
	}
	return RekeyIKEResponse, p.ikeOffer(number, next.SPIr, next.nr, ke.Group, own.Public()), func() { p.succeed(s, next) }
}
