package ike

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"culvert/ike/proposal"
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// The data of a half-open IKE SA are in one piece of memory:
//
//	request      IKE_SA_INIT as received, packed: AUTH covers it (RFC 7296, Section 2.15)
//	nonce        ours, of nonceLen octets
//	choice       the proposal that we chose
//	public       our public value
//	SKEYSEED     of which the keys are derived when they are needed
//
// What credentials add to the response is the same for many, so that they share it (sharedTexts).
// The response is not among them. It is made of them again, octet by octet, whenever it is needed.
// Our private value is gone when the response is sent, and no later message of the peer causes
// another key exchange.

// setRequest begins the data.
func (h *halfOpen) setRequest(request, nonce []byte, chosen wire.Proposal) {
	packed, choice := packRequest(request, h.hashes(request)), appendChoice(nil, chosen)
	h.request, h.choice = uint16(len(packed)), uint8(len(choice))
	h.data = slices.Concat(packed, nonce, choice)
}

// setKey adds the results of the key exchange to the data.
func (h *halfOpen) setKey(public, skeyseed []byte) {
	h.public, h.seed = uint16(len(public)), uint8(len(skeyseed))
	h.data = slices.Concat(h.data, public, skeyseed)
	clear(skeyseed)
}

// part returns n octets of the data.
func (h *halfOpen) part(from, n int) []byte { return h.data[from : from+n : from+n] }

func (h *halfOpen) requestData() []byte {
	return unpackRequest(h.part(0, int(h.request)), h.hashes(h.data))
}

// hashes returns what NAT detection has in a request that came as it was sent. The initiator's SPI
// is at the beginning of the data.
func (h *halfOpen) hashes(data []byte) []byte {
	spi := wire.SPI(binary.BigEndian.Uint64(data))
	return slices.Concat(natHash(spi, 0, h.path.Remote()), natHash(spi, 0, h.path.Local()))
}

func (h *halfOpen) nonce() []byte { return h.part(int(h.request), nonceLen) }

func (h *halfOpen) chosen() wire.Proposal {
	return readChoice(h.part(int(h.request)+nonceLen, int(h.choice)))
}

func (h *halfOpen) publicValue() []byte {
	return h.part(int(h.request)+nonceLen+int(h.choice), int(h.public))
}

func (h *halfOpen) skeyseed() []byte {
	return h.part(int(h.request)+nonceLen+int(h.choice)+int(h.public), int(h.seed))
}

// spis returns both SPIs.
func (h *halfOpen) spis() spiPair {
	return spiPair{I: wire.SPI(binary.BigEndian.Uint64(h.data)), R: h.spi}
}

// initSaid is what of its terms a half-open IKE SA keeps in an octet.
type initSaid uint8

const saidChildless initSaid = 1 << 7

func newInitSaid(terms initTerms) initSaid {
	if terms.childless {
		return initSaid(terms.encap) | saidChildless
	}
	return initSaid(terms.encap)
}

func (s initSaid) encap() EncapMode { return EncapMode(s &^ saidChildless) }

func (s initSaid) childless() bool { return s&saidChildless != 0 }

// setTerms keeps what the response announces. Support of fragments is announced to a caller that
// has announced it (RFC 7383, Section 2.3).
func (h *halfOpen) setTerms(terms initTerms, request []wire.Payload) {
	h.said = newInitSaid(terms)
	if _, ok := wire.FindNotify(request, wire.FragmentationSupported); ok {
		h.fragment = uint16(min(terms.fragment, math.MaxUint16))
	}
	if abilitiesIn(request) != 0 && !h.path.Stream() {
		h.able = terms.abilities()
	}
}

// response returns the response to IKE_SA_INIT, while the half-open IKE SA is in the table.
func (t *halfOpens) response(h *halfOpen) []byte {
	chosen := h.chosen()
	ps := []wire.Payload{
		&wire.SA{Proposals: []wire.Proposal{chosen}}, &wire.KE{Group: proposal.Group(chosen), Data: h.publicValue()}, &wire.Nonce{Data: h.nonce()},
	}
	ps = append(ps, initNotifies(h.spis(), h.path, initTerms{encap: h.said.encap(), fragment: int(h.fragment)})...)
	if h.said.childless() {
		ps = append(ps, childlessSupported())
	}
	ps = append(ps, h.able.payload()...)
	m := wire.Message{
		Header:   wire.Header{InitiatorSPI: h.spis().I, ResponderSPI: h.spi, Exchange: wire.IKESAInit, Response: true},
		Payloads: append(ps, decodeAnnouncement(t.announced.text(h.announced))...),
	}
	return m.AppendTo(nil)
}

// parsedRequest parses a request again.
func parsedRequest(request []byte) []wire.Payload {
	m, err := wire.Parse(request)
	if err != nil {
		panic("ike: internal error: a request that was parsed before: " + err.Error())
	}
	return m.Payloads
}

// keys derives the keys of a half-open IKE SA. The caller must forget them.
func (t *halfOpens) keys(h *halfOpen, request []wire.Payload) (saKeys, error) {
	ni, _ := wire.Find[*wire.Nonce](request)
	keys, err := t.e.newKeys(h.spis(), false, h.chosen(), noncePair{Ni: ni.Data, Nr: bytes.Clone(h.nonce())}, nil, func(k *suite.KeySchedule) error {
		k.Resume(h.skeyseed())
		return nil
	})
	keys.fragment = int(h.fragment)
	return keys, err
}

// appendChoice appends a proposal without SPI: its number, and type, ID and key length of each
// transform.
func appendChoice(b []byte, p wire.Proposal) []byte {
	b = append(b, p.Number)
	for _, t := range p.Transforms {
		b = append(b, byte(t.Type))
		b = binary.BigEndian.AppendUint16(b, uint16(t.ID))
		b = binary.BigEndian.AppendUint16(b, t.KeyLength)
	}
	return b
}

// readChoice returns the proposal of appendChoice.
func readChoice(b []byte) wire.Proposal {
	p := wire.Proposal{Number: b[0], Protocol: wire.ProtoIKE}
	for t := range slices.Chunk(b[1:], 5) {
		p.Transforms = append(p.Transforms, wire.Transform{
			Type: wire.TransformType(t[0]), ID: wire.TransformID(binary.BigEndian.Uint16(t[1:])), KeyLength: binary.BigEndian.Uint16(t[3:]),
		})
	}
	return p
}
