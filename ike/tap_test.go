package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"culvert/ike/wire"
)

// testMessage is an IKE message that one side sent, decrypted by the tap.
type testMessage struct {
	from      *testSide
	at        time.Time
	hdr       wire.Header
	payloads  []wire.Payload // those within SK{} if there is one; nil until the last fragment
	protected bool
	opened    bool
	fragment  string // "2/3" of an SKF message
	repeat    bool   // the same octets were sent before
	pk        *testPacket
}

func (m *testMessage) String() string {
	msg := wire.Message{Header: m.hdr, Payloads: m.payloads}
	text := msg.String()
	if m.fragment != "" {
		text += " fragment " + m.fragment
	}
	if m.protected && !m.opened {
		text += " (cannot be opened)"
	}
	if m.repeat {
		text += " (again)"
	}
	return fmt.Sprintf("%s to %v", text, m.pk.dst)
}

// wireTap reads all IKE messages, since it can compute the fake groups' shared secrets, and derives
// the keys by itself. It checks what must always hold: octets of one message ID never change,
// request IDs increase by one with at most one outstanding, no nonce or IV is used twice.
type wireTap struct {
	inits  map[wire.SPI][]*tapRequest
	sas    map[[2]wire.SPI]*tapSA
	sent   map[tapKey][]byte
	nonces map[string]bool
	ivs    map[string]bool
	nr     map[[2]wire.SPI]string // of responses of IKE_SA_INIT
}

// tapKey names one message on the wire.
type tapKey struct {
	spiI, spiR          wire.SPI
	initiator, response bool
	id                  uint32
	fragment            uint16
}

// tapRequest is what a key exchange's request contributes.
type tapRequest struct {
	ni, spi, ke []byte
	group       wire.TransformID
}

func newWireTap() *wireTap {
	return &wireTap{
		inits: map[wire.SPI][]*tapRequest{}, sas: map[[2]wire.SPI]*tapSA{}, sent: map[tapKey][]byte{},
		nonces: map[string]bool{}, ivs: map[string]bool{}, nr: map[[2]wire.SPI]string{},
	}
}

// see reads a message that s sends.
func (w *wireTap) see(p *testPair, s *testSide, f Send) *testMessage {
	m := &testMessage{from: s, at: p.now}
	msg, err := wire.Parse(f.Data)
	if err != nil {
		p.violated("%s sends what does not parse: %v: %x", s.name, err, f.Data)
		return m
	}
	m.hdr, m.payloads = msg.Header, msg.Payloads
	offset, protected := msg.EncryptedOffset()
	m.protected = protected
	if !protected {
		m.opened = true
		m.repeat = w.seePlain(p, m)
		return m
	}
	w.open(p, m, f.Data, offset)
	return m
}

// seePlain reads IKE_SA_INIT and unprotected errors.
func (w *wireTap) seePlain(p *testPair, m *testMessage) (repeat bool) {
	if m.hdr.Exchange != wire.IKESAInit {
		return false
	}
	r := requestOf(m.payloads)
	if r.ni == nil || r.ke == nil {
		return false
	}
	if !m.hdr.Response {
		for _, old := range w.inits[m.hdr.InitiatorSPI] {
			if bytes.Equal(old.ni, r.ni) && bytes.Equal(old.ke, r.ke) {
				return true
			}
		}
		if len(w.inits[m.hdr.InitiatorSPI]) == 0 {
			w.freshNonce(p, m.from, r.ni)
		}
		w.inits[m.hdr.InitiatorSPI] = append(w.inits[m.hdr.InitiatorSPI], r)
		return false
	}
	id := [2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}
	if w.sas[id] != nil || w.nr[id] == string(r.ni) {
		return true
	}
	w.nr[id] = string(r.ni)
	w.freshNonce(p, m.from, r.ni)
	for _, req := range w.inits[id[0]] {
		if req.group == r.group {
			w.sas[id] = newTapSA(id, proposalOf(m.payloads), req.ni, r.ni, fakeShared(req.ke, r.ke), nil)
		}
	}
	return false
}

// open decrypts SK and SKF.
func (w *wireTap) open(p *testPair, m *testMessage, data []byte, offset int) {
	key := tapKey{m.hdr.InitiatorSPI, m.hdr.ResponderSPI, m.hdr.Initiator, m.hdr.Response, m.hdr.MessageID, 0}
	first := m.hdr.NextPayload
	total := uint16(0)
	switch last := m.payloads[len(m.payloads)-1].(type) {
	case *wire.Encrypted:
		first = last.First
	case *wire.EncryptedFragment:
		first, total, key.fragment = last.First, last.Total, last.Number
		m.fragment = fmt.Sprintf("%d/%d", last.Number, last.Total)
	}
	m.payloads = nil
	if old, ok := w.sent[key]; ok {
		m.repeat = true
		if !bytes.Equal(old, data) {
			p.violated("%s sends other octets under the same message ID: %v", m.from.name, m.hdr)
		}
	}
	sa := w.sas[[2]wire.SPI{key.spiI, key.spiR}]
	if sa == nil {
		return
	}
	iv, plain, err := sa.open(m.hdr.Initiator, data, offset)
	if err != nil {
		p.violated("%s sends what its peer cannot open: %v: %v", m.from.name, m.hdr, err)
		return
	}
	if !m.repeat {
		w.sent[key] = bytes.Clone(data)
		w.freshIV(p, m, sa, iv)
		sa.checkWindow(p, m)
	}
	m.opened = true
	if total > 0 {
		first, plain = sa.join(key, first, total, plain)
		if plain == nil {
			return
		}
	}
	m.payloads, err = wire.ParsePayloads(first, plain)
	if err != nil {
		p.violated("%s sends SK payloads that do not parse: %v", m.from.name, err)
		return
	}
	if !m.repeat {
		w.seeInner(p, m, sa)
	}
}

// seeInner looks for nonces and for a new IKE SA.
func (w *wireTap) seeInner(p *testPair, m *testMessage, sa *tapSA) {
	if m.hdr.Exchange != wire.CreateChildSA {
		return
	}
	r := requestOf(m.payloads)
	if r.ni != nil {
		w.freshNonce(p, m.from, r.ni)
	}
	key := reqKey{m.hdr.Initiator != m.hdr.Response, m.hdr.MessageID}
	if !m.hdr.Response {
		sa.requests[key] = r
		return
	}
	req, prop := sa.requests[key], proposalOf(m.payloads)
	if req == nil || prop.Protocol != wire.ProtoIKE || len(prop.SPI) != 8 || len(req.spi) != 8 || r.ke == nil {
		return
	}
	id := [2]wire.SPI{wire.SPI(binary.BigEndian.Uint64(req.spi)), wire.SPI(binary.BigEndian.Uint64(prop.SPI))}
	w.sas[id] = newTapSA(id, prop, req.ni, r.ni, fakeShared(req.ke, r.ke), sa)
}

func (w *wireTap) freshNonce(p *testPair, s *testSide, nonce []byte) {
	if w.nonces[string(nonce)] {
		p.violated("%s uses a nonce for the second time: %x", s.name, nonce)
	}
	w.nonces[string(nonce)] = true
}

func (w *wireTap) freshIV(p *testPair, m *testMessage, sa *tapSA, iv []byte) {
	id := fmt.Sprintf("%016x%016x%v%x", uint64(sa.id[0]), uint64(sa.id[1]), m.hdr.Initiator, iv)
	if w.ivs[id] {
		p.violated("%s uses an IV for the second time: %x in %v", m.from.name, iv, m.hdr)
	}
	w.ivs[id] = true
}

// requestOf collects what a message contributes to a key exchange.
func requestOf(ps []wire.Payload) *tapRequest {
	r := &tapRequest{}
	for _, p := range ps {
		switch p := p.(type) {
		case *wire.Nonce:
			r.ni = p.Data
		case *wire.KE:
			r.ke, r.group = p.Data, p.Group
		case *wire.SA:
			if len(p.Proposals) > 0 {
				r.spi = p.Proposals[0].SPI
			}
		}
	}
	return r
}

func proposalOf(ps []wire.Payload) wire.Proposal {
	if sa := firstOf[*wire.SA](ps); sa != nil && len(sa.Proposals) > 0 {
		return sa.Proposals[0]
	}
	return wire.Proposal{}
}

// firstOf is the first payload of a type, or nil.
func firstOf[P wire.Payload](ps []wire.Payload) P {
	var none P
	for _, p := range ps {
		if p, ok := p.(P); ok {
			return p
		}
	}
	return none
}
