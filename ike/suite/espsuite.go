package suite

import (
	"fmt"

	"culvert/esp"
	"culvert/ike/wire"
)

// ESPSuite holds the algorithms of a Child SA pair.
type ESPSuite struct {
	Cipher esp.Cipher
	ESN    bool
	KE     wire.TransformID // GroupNone: no key exchange of its own
}

// NewESPSuite returns the algorithms of a chosen ESP proposal, which has at most one transform of
// each type. It refuses algorithms that the dataplane does not support or that do not protect.
func NewESPSuite(p wire.Proposal) (*ESPSuite, error) {
	var encr, integ, ke, esn wire.Transform
	slots := map[wire.TransformType]*wire.Transform{
		wire.TransformENCR: &encr, wire.TransformINTEG: &integ, wire.TransformKE: &ke, wire.TransformESN: &esn,
	}
	if err := takeTransforms(p, wire.ProtoESP, slots, wire.TransformENCR, wire.TransformESN); err != nil {
		return nil, err
	}
	e, err := encryptionOf(encr)
	if err != nil {
		return nil, err
	}
	if _, err := e.integrityFor(integ); err != nil {
		return nil, err
	}
	cipher := esp.Cipher{ID: uint16(encr.ID), KeyBits: e.bits(encr), Auth: uint16(integ.ID)}
	switch {
	case cipher.KeyLen() == 0:
		return nil, fmt.Errorf("%v is not supported for ESP", cipher)
	case esn.ID > wire.ESNYes || !bare(esn):
		return nil, fmt.Errorf("ESN transform %v is not supported", esn)
	case ke.ID != wire.GroupNone && !GroupKnown(ke.ID) || !bare(ke):
		return nil, fmt.Errorf("key exchange method %v is not supported", ke)
	}
	return &ESPSuite{Cipher: cipher, ESN: esn.ID == wire.ESNYes, KE: ke.ID}, nil
}

// ChildKeys derives the keys of the pair from the IKE SA's PRF and SK_d: KEYMAT = prf+(SK_d, [g^ir
// (new)] | Ni | Nr), first the key for what the exchange's initiator sends (RFC 7296, Section
// 2.17). The initiator is that of the exchange that makes the Child SA. shared is empty if that had
// no key exchange. Each key is followed by its salt (RFC 4106, Section 8.1; RFC 7634, Section 2),
// and by the key of the integrity algorithm if there is one. The caller must clear both keys.
func (s *ESPSuite) ChildKeys(prf *PRF, skd, shared, ni, nr []byte) (initiatorKey, responderKey []byte) {
	seed := concat(shared, ni, nr)
	defer clear(seed)
	n := s.Cipher.KeyLen()
	keymat := prf.Plus(skd, seed, 2*n)
	return keymat[:n:n], keymat[n:]
}
