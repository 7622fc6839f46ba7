package adversary

import (
	"culvert/ike/wire"
)

// Receive takes a datagram, and returns what is sent then. What cannot be opened is passed over.
func (p *Peer) Receive(data []byte) [][]byte {
	m, err := wire.Parse(data)
	if err != nil {
		return nil
	}
	if m.Exchange == wire.IKESAInit && !m.Response {
		return p.initRequest(m, data)
	}
	s := p.find(m.Header)
	if s == nil {
		return nil
	}
	if m.Exchange == wire.IKESAInit {
		return p.initResponse(s, m, data)
	}
	ps, ok := s.content(m, data)
	if !ok {
		return nil
	}
	if m.Response {
		return p.response(s, m.Header, ps)
	}
	return p.request(s, m.Header, ps)
}

// find returns the IKE SA of a message, or nil.
func (p *Peer) find(h wire.Header) *SA {
	for _, s := range p.SAs {
		if s.SPIi == h.InitiatorSPI && (s.SPIr == h.ResponderSPI || s.SPIr == 0) && s.Initiator != h.Initiator {
			return s
		}
	}
	return nil
}

// content opens a message, and returns its payloads once all of its fragments have come.
func (s *SA) content(m *wire.Message, data []byte) ([]wire.Payload, bool) {
	offset, protected := m.EncryptedOffset()
	if !protected || s.in == nil {
		return nil, false
	}
	plain, ok := s.in.open(data, offset)
	if !ok {
		return nil, false
	}
	if plain, ok = unpad(plain); !ok {
		return nil, false
	}
	var first wire.PayloadType
	switch last := m.Payloads[len(m.Payloads)-1].(type) {
	case *wire.Encrypted:
		first = last.First
	case *wire.EncryptedFragment:
		key := m.MessageID << 1
		if m.Response {
			key++
		}
		if s.joins[key] == nil {
			s.joins[key] = &joining{}
		}
		if first, plain, ok = s.joins[key].join(last, plain); !ok {
			return nil, false
		}
		delete(s.joins, key)
	}
	ps, err := wire.ParsePayloads(first, plain)
	return ps, err == nil
}

// response takes the response to a request of the peer.
func (p *Peer) response(s *SA, h wire.Header, ps []wire.Payload) [][]byte {
	r := s.waiting[h.MessageID]
	if r == nil {
		return nil
	}
	delete(s.waiting, h.MessageID)
	p.Got = append(p.Got, Message{h, ps, r.stage})
	if r.done == nil {
		return nil
	}
	return r.done(ps)
}

// request answers a request. One that comes again gets the same octets.
func (p *Peer) request(s *SA, h wire.Header, ps []wire.Payload) [][]byte {
	if answer, ok := s.answers[h.MessageID]; ok {
		return answer
	}
	p.Got = append(p.Got, Message{h, ps, Stages})
	stage, answer, then := p.answer(s, h, ps)
	if stage == Stages {
		return nil
	}
	list := p.out(s, stage, s.header(h.Exchange, h.MessageID, true), answer)
	s.answers[h.MessageID] = list
	if then != nil {
		then()
	}
	return list
}

// answer returns the response to a request, and what happens when it is sent. Without a stage
// nothing is sent.
func (p *Peer) answer(s *SA, h wire.Header, ps []wire.Payload) (Stage, []wire.Payload, func()) {
	switch {
	case h.Exchange == wire.IKEAuth && !s.Established:
		return p.authRequest(s, ps)
	case h.Exchange == wire.CreateChildSA:
		return p.childRequest(s, ps)
	case h.Exchange == wire.Informational:
		return s.informational(ps)
	}
	return Stages, nil, nil
}
