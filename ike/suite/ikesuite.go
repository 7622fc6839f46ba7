package suite

import (
	"encoding/binary"
	"fmt"
	"io"

	"culvert/ike/wire"
)

// IKESuite holds the algorithms of an IKE SA. Integ is the zero Transform, or NONE, with an AEAD.
// An IKESuite does not change.
type IKESuite struct {
	Encr, Integ, PRF, KE wire.Transform

	encr  encryption
	integ integrity
	prf   *PRF
}

// NewIKESuite returns the algorithms of a chosen proposal, which must have exactly one transform of
// each type. It refuses what cannot protect an IKE SA: missing or repeated types, key exchange
// NONE, key lengths that do not exist, an AEAD with an integrity algorithm, and another cipher
// without one.
func NewIKESuite(p wire.Proposal) (*IKESuite, error) {
	var s IKESuite
	slots := map[wire.TransformType]*wire.Transform{
		wire.TransformENCR: &s.Encr, wire.TransformPRF: &s.PRF, wire.TransformINTEG: &s.Integ, wire.TransformKE: &s.KE,
	}
	if err := takeTransforms(p, wire.ProtoIKE, slots, wire.TransformENCR, wire.TransformPRF, wire.TransformKE); err != nil {
		return nil, err
	}
	var err error
	if s.encr, err = encryptionOfIKE(s.Encr); err != nil {
		return nil, err
	}
	if s.integ, err = s.encr.integrityFor(s.Integ); err != nil {
		return nil, err
	}
	prf, ok := PRFByID(s.PRF.ID)
	if !ok || !bare(s.PRF) {
		return nil, fmt.Errorf("PRF %v is not supported", s.PRF)
	}
	s.prf = prf
	if !GroupKnown(s.KE.ID) || !bare(s.KE) {
		return nil, fmt.Errorf("key exchange method %v is not supported", s.KE)
	}
	return &s, nil
}

// takeTransforms stores each transform of the proposal in the slot of its type. The mandatory types
// must be present.
func takeTransforms(p wire.Proposal, protocol wire.ProtocolID, slots map[wire.TransformType]*wire.Transform, mandatory ...wire.TransformType) error {
	if p.Protocol != protocol {
		return fmt.Errorf("the proposal is for %v, want %v", p.Protocol, protocol)
	}
	for _, t := range p.Transforms {
		slot, ok := slots[t.Type]
		switch {
		case !ok:
			return fmt.Errorf("transform type %v is not allowed in a proposal for %v", t.Type, protocol)
		case *slot != (wire.Transform{}):
			return fmt.Errorf("the proposal has more than one %v transform", t.Type)
		}
		*slot = t
	}
	for _, typ := range mandatory {
		if *slots[typ] == (wire.Transform{}) {
			return fmt.Errorf("the proposal has no %v transform", typ)
		}
	}
	return nil
}

// bare reports whether the transform has no attribute.
func bare(t wire.Transform) bool { return t.KeyLength == 0 && !t.UnknownAttribute }

// Prf returns the SA's PRF.
func (s *IKESuite) Prf() *PRF { return s.prf }

// SKEYSEED returns the SKEYSEED of an IKE SA made by IKE_SA_INIT: prf(Ni | Nr, g^ir) (RFC 7296,
// Section 2.14).
//
// The RFC truncates the nonces for PRFs with a key of fixed length; an HMAC does not have one.
func (s *IKESuite) SKEYSEED(ni, nr, shared []byte) []byte {
	return s.prf.Sum(concat(ni, nr), shared)
}

// RekeySKEYSEED returns the SKEYSEED of an IKE SA that replaces another: prf(SK_d (old), g^ir (new)
// | Ni | Nr), with the PRF of the old IKE SA (RFC 7296, Section 2.18).
func RekeySKEYSEED(oldPRF *PRF, oldSKd, shared, ni, nr []byte) []byte {
	return oldPRF.Sum(oldSKd, shared, ni, nr)
}

// Keys holds the secrets of an IKE SA: SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi and SK_pr. With an
// AEAD, Ai and Ar are empty, and Ei and Er end with its salt.
type Keys struct {
	D, Ai, Ar, Ei, Er, Pi, Pr []byte

	material []byte // backs all of the above
}

// Keys derives the keys of the IKE SA: prf+ (SKEYSEED, Ni | Nr | SPIi | SPIr), cut in the order of
// RFC 7296, Section 2.14.
func (s *IKESuite) Keys(skeyseed, ni, nr []byte, spii, spir wire.SPI) *Keys {
	seed := concat(ni, nr)
	seed = binary.BigEndian.AppendUint64(seed, uint64(spii))
	seed = binary.BigEndian.AppendUint64(seed, uint64(spir))
	size, a, e := s.prf.Size(), s.integ.keyLen, s.encr.keyLen(s.Encr)
	k := &Keys{material: s.prf.Plus(skeyseed, seed, 3*size+2*a+2*e)}
	rest := k.material
	for _, part := range []struct {
		to *[]byte
		n  int
	}{{&k.D, size}, {&k.Ai, a}, {&k.Ar, a}, {&k.Ei, e}, {&k.Er, e}, {&k.Pi, size}, {&k.Pr, size}} {
		*part.to, rest = rest[:part.n:part.n], rest[part.n:]
	}
	return k
}

// Clear overwrites all keys. SK_d and SK_p are needed while Child SAs may be made, the others only
// to make Protectors.
func (k *Keys) Clear() { clear(k.material) }

// Protectors returns the Protectors of both directions: out seals what this side sends, in opens
// what it receives. initiator means that this side is the original initiator of the IKE SA, whose
// messages SK_ai and SK_ei protect (RFC 7296, Section 2.14).
func (s *IKESuite) Protectors(k *Keys, initiator bool, rand io.Reader) (out, in *Protector, err error) {
	fromI, err := NewProtector(s.Encr, s.Integ, k.Ei, k.Ai, rand)
	if err != nil {
		return nil, nil, err
	}
	fromR, err := NewProtector(s.Encr, s.Integ, k.Er, k.Ar, rand)
	if err != nil {
		return nil, nil, err
	}
	if initiator {
		return fromI, fromR, nil
	}
	return fromR, fromI, nil
}

func concat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
