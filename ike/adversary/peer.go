package adversary

import (
	"encoding/binary"
	"io"
	"slices"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// Config is what a peer is.
type Config struct {
	Rand   io.Reader
	Groups suite.Groups
	ID     wire.ID // of the peer itself; Responder is set as it is needed
	PSK    []byte
	// Prove, unless it is nil, returns in place of a proof by PSK the payloads that prove the
	// octets (RFC 7296, Section 2.15): CERT and AUTH.
	Prove func(octets []byte) []wire.Payload
	// Extra are payloads that go into IKE_SA_INIT.
	Extra         []wire.Payload
	IKE, ESP      wire.Proposal // without numbers and SPIs
	Local, Remote []wire.TrafficSelector
	// Choose, unless it is nil, returns the Move of a message.
	Choose func(Stage) Move
	// MaxPart, if positive, is how many octets of a content one datagram carries.
	MaxPart int
}

// Peer is an IKEv2 peer. It must not be used by several goroutines at a time.
type Peer struct {
	Config
	SAs []*SA     // the newest last, dead ones among them
	Got []Message // all that could be opened
}

// A Message is one that was received.
type Message struct {
	wire.Header
	Payloads []wire.Payload
	Outcome  Stage // of a response: the stage of the request that it answers
}

// A SA is an IKE SA of the peer, or an attempt to make one.
type SA struct {
	SPIi, SPIr  wire.SPI
	Initiator   bool // the peer is the original initiator
	Established bool // IKE_AUTH, or the rekeying, went well as far as the peer knows
	Proved      bool // the other side proved itself by the PSK
	Dead        bool // deleted
	Children    []*Child
	Predecessor *SA

	suite    *suite.IKESuite
	keys     *suite.Keys
	out, in  *direction
	ke       suite.KeyExchange
	ni, nr   []byte
	messages [2][]byte // of IKE_SA_INIT: the request and the response
	cookie   []byte
	asked    int // times that IKE_SA_INIT was sent
	nextID   uint32
	waiting  map[uint32]*request
	joins    map[uint32]*joining // fragments of requests, and below them of responses
	answers  map[uint32][][]byte
}

// A Child is a Child SA pair of the peer.
type Child struct {
	SPIIn, SPIOut []byte // of the peer: what it receives, and what it sends
	KeyIn, KeyOut []byte
	TSi, TSr      []wire.TrafficSelector
	Rekeyed       bool
}

// request is one that waits for its response.
type request struct {
	stage Stage
	done  func(ps []wire.Payload) [][]byte
}

// octets returns n random octets.
func (p *Peer) octets(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.Rand, b); err != nil {
		panic("adversary: no randomness: " + err.Error())
	}
	return b
}

func (p *Peer) newSPI() wire.SPI { return wire.SPI(binary.BigEndian.Uint64(p.octets(8)) | 1) }

// newSA returns an IKE SA that the peer knows from now on.
func (p *Peer) newSA(initiator bool) *SA {
	s := &SA{Initiator: initiator, waiting: map[uint32]*request{}, joins: map[uint32]*joining{}, answers: map[uint32][][]byte{}}
	p.SAs = append(p.SAs, s)
	return s
}

// Current returns the newest IKE SA that is established, or nil.
func (p *Peer) Current() *SA {
	for _, s := range slices.Backward(p.SAs) {
		if s.Established && !s.Dead {
			return s
		}
	}
	return nil
}

// Live returns the children of the IKE SA that have no successor.
func (s *SA) Live() (list []*Child) {
	for _, c := range s.Children {
		if !c.Rekeyed {
			list = append(list, c)
		}
	}
	return list
}

// move returns what is done to a message.
func (p *Peer) move(stage Stage) Move {
	if p.Choose == nil {
		return Move{}
	}
	return p.Choose(stage)
}

// out returns the datagrams of a message in the stage, changed by its Move.
func (p *Peer) out(s *SA, stage Stage, h wire.Header, ps []wire.Payload) [][]byte {
	m := p.move(stage)
	pieces := PiecesOf(ps...)
	if m.Pieces != nil {
		pieces = m.Pieces(clone(pieces))
	}
	if m.Header != nil {
		m.Header(&h)
	}
	list := p.sealed(s, m, h, pieces, stage.Protected())
	if !stage.Protected() {
		s.messages[stage] = slices.Clone(list[0])
	}
	var before [][]byte
	if m.Before != nil {
		before = m.Before(cloneAll(list))
	}
	if m.Datagrams != nil {
		list = m.Datagrams(cloneAll(list))
	}
	return append(before, list...)
}

// sealed returns the datagrams of a message before they can be changed on the way.
func (p *Peer) sealed(s *SA, m Move, h wire.Header, pieces []Piece, protected bool) (list [][]byte) {
	if !protected || s.out == nil {
		return [][]byte{plainMessage(h, pieces)}
	}
	whole := Part{}
	whole.First, whole.Plain = encode(pieces)
	parts := []Part{whole}
	switch {
	case m.Parts != nil:
		parts = m.Parts(whole)
	case p.MaxPart > 0 && len(whole.Plain) > p.MaxPart:
		parts = Cut(whole, p.MaxPart)
	}
	for _, part := range parts {
		trailer := m.Trailer
		if trailer == nil {
			trailer = s.out.padding(len(part.Plain))
		}
		list = append(list, s.out.seal(h, part, append(slices.Clone(part.Plain), trailer...)))
	}
	return list
}

func cloneAll(list [][]byte) [][]byte {
	list = slices.Clone(list)
	for i := range list {
		list[i] = slices.Clone(list[i])
	}
	return list
}

// header returns the header of the peer's next message on the IKE SA.
func (s *SA) header(ex wire.ExchangeType, id uint32, response bool) wire.Header {
	return wire.Header{
		InitiatorSPI: s.SPIi, ResponderSPI: s.SPIr, MajorVersion: wire.MajorVersion, Exchange: ex,
		Initiator: s.Initiator, Response: response, MessageID: id,
	}
}

// Ask sends a request on an IKE SA. done is called with the payloads of the response, and returns
// what is sent then; it may be nil.
func (p *Peer) Ask(s *SA, stage Stage, ex wire.ExchangeType, ps []wire.Payload, done func([]wire.Payload) [][]byte) [][]byte {
	id := s.nextID
	s.nextID++
	s.waiting[id] = &request{stage, done}
	return p.out(s, stage, s.header(ex, id, false), ps)
}
