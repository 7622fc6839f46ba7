package proposal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// transformRules lists the transform types that a protocol's proposal must and may have (RFC 7296,
// Section 3.3.3). The cipher decides about INTEG.
var transformRules = map[wire.ProtocolID]struct{ must, may []wire.TransformType }{
	wire.ProtoIKE: {
		must: []wire.TransformType{wire.TransformENCR, wire.TransformPRF, wire.TransformKE},
		may:  []wire.TransformType{wire.TransformINTEG},
	},
	wire.ProtoESP: {
		must: []wire.TransformType{wire.TransformENCR, wire.TransformESN},
		may:  []wire.TransformType{wire.TransformINTEG, wire.TransformKE},
	},
}

// isAEAD reports whether a cipher authenticates by itself, and so has no integrity algorithm (RFC
// 5282, Section 8; RFC 4543).
func isAEAD(encr wire.TransformID) bool {
	switch encr {
	case wire.EncrAESCCM8, wire.EncrAESCCM12, wire.EncrAESCCM16, wire.EncrAESGCM8, wire.EncrAESGCM12, wire.EncrAESGCM16, wire.EncrNULLAuthAESGMAC, wire.EncrChaCha20Poly1305:
		return true
	}
	return false
}

// Choose makes the responder's choice, by its own order of preference: first of proposals, then of
// transforms within a proposal. The result has the number and the SPI of the peer's proposal, and
// exactly one transform of each type in it (RFC 7296, Sections 2.7 and 3.3.6). To require the
// 8-octet SPI of an IKE SA's rekeying, filter theirs with WithSPISize.
func Choose(ours, theirs []wire.Proposal) (wire.Proposal, bool) {
	for _, our := range ours {
		for _, their := range theirs {
			if chosen, err := match(our, their); err == nil {
				return wire.Proposal{Number: their.Number, Protocol: their.Protocol, SPI: their.SPI, Transforms: chosen}, true
			}
		}
	}
	return wire.Proposal{}, false
}

// maxCommon bounds the result of Common, as that of a hostile SA payload.
const maxCommon = 8

// Common returns of theirs what ours allows as well, each set of transforms once: from any result,
// Choose picks only what both allow. The transforms come in our order.
func Common(ours, theirs []wire.Proposal) (list []wire.Proposal) {
	for _, our := range ours {
		for _, their := range theirs {
			if _, err := match(our, their); err != nil {
				continue
			}
			their.Transforms = commonTransforms(our, their)
			if slices.ContainsFunc(list, func(p wire.Proposal) bool { return slices.Equal(p.Transforms, their.Transforms) }) {
				continue
			}
			if list = append(list, their); len(list) == maxCommon {
				return list
			}
		}
	}
	return list
}

// commonTransforms returns the transforms of both proposals. NONE for integrity goes with a cipher
// that has its own, whether we say it or not.
func commonTransforms(our, their wire.Proposal) (list []wire.Transform) {
	none := wire.Transform{Type: wire.TransformINTEG, ID: wire.IntegNone}
	for _, t := range append(slices.Clone(our.Transforms), none) {
		if slices.Contains(their.Transforms, t) && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// WithSPISize returns the proposals with an SPI of n octets: 0 in IKE_SA_INIT, 8 for an IKE SA's
// rekeying, 4 for ESP (RFC 7296, Section 3.3.1).
func WithSPISize(ps []wire.Proposal, n int) []wire.Proposal {
	return slices.DeleteFunc(slices.Clone(ps), func(p wire.Proposal) bool { return len(p.SPI) != n })
}

// WithoutKE returns the proposals without key exchange: IKE_AUTH has no KE payload, and so its SA
// payloads propose no group other than NONE (RFC 7296, Section 1.2).
func WithoutKE(ps []wire.Proposal) []wire.Proposal {
	ps = slices.Clone(ps)
	for i := range ps {
		ps[i].Transforms = slices.DeleteFunc(slices.Clone(ps[i].Transforms), func(t wire.Transform) bool { return t.Type == wire.TransformKE })
	}
	return ps
}

// mismatch is the first difference of two proposals. Its text is made only when somebody reads it,
// because a hostile SA payload has thousands of proposals.
type mismatch struct {
	rank       int // how far the comparison got, to find the nearest pair
	our, their wire.Proposal
	typ        wire.TransformType // the type in which they differ; zero: see words
	words      func() string
}

// Matches reports whether our proposal has a transform of each type in theirs.
func Matches(our, their wire.Proposal) bool {
	_, err := match(our, their)
	return err == nil
}

// match picks one transform of each type in their proposal, or returns the first difference.
func match(our, their wire.Proposal) ([]wire.Transform, *mismatch) {
	rules, known := transformRules[our.Protocol]
	if !known || our.Protocol != their.Protocol {
		return nil, &mismatch{words: func() string { return fmt.Sprintf("we want %v, they want %v", our.Protocol, their.Protocol) }}
	}
	if err := checkSPI(their); err != nil {
		return nil, &mismatch{rank: 1, words: err.Error}
	}
	// A transform type that is not understood makes the proposal unacceptable (RFC 7296, Section
	// 3.3.6).
	for _, t := range their.Transforms {
		if !slices.Contains(rules.must, t.Type) && !slices.Contains(rules.may, t.Type) {
			return nil, &mismatch{rank: 1, words: func() string {
				return fmt.Sprintf("their proposal has a transform of %v, which has no meaning here", t.Type)
			}}
		}
	}
	chosen, err := matchCipher(our, their)
	if err != nil {
		return nil, err
	}
	for i, typ := range []wire.TransformType{wire.TransformPRF, wire.TransformKE, wire.TransformESN} {
		must := slices.Contains(rules.must, typ)
		if !must && !slices.Contains(rules.may, typ) {
			continue
		}
		t, present, err := matchType(our, their, typ, must)
		if err != nil {
			err.rank += i
			return nil, err
		}
		if present {
			chosen = append(chosen, t)
		}
	}
	return chosen, nil
}

// matchCipher picks ENCR and an INTEG that fits it. A combined-mode cipher has no integrity
// algorithm other than NONE (RFC 7296, Section 2.7).
func matchCipher(our, their wire.Proposal) ([]wire.Transform, *mismatch) {
	err := &mismatch{rank: 2, our: our, their: their, typ: wire.TransformENCR}
	for _, encr := range OfType(our, wire.TransformENCR) {
		if !slices.Contains(their.Transforms, encr) || encr.UnknownAttribute {
			continue
		}
		integ, present, integErr := matchInteg(our, their, isAEAD(encr.ID))
		if integErr != nil {
			err = integErr
			continue
		}
		if present {
			return []wire.Transform{encr, integ}, nil
		}
		return []wire.Transform{encr}, nil
	}
	return nil, err
}

func matchInteg(our, their wire.Proposal, aead bool) (t wire.Transform, present bool, err *mismatch) {
	if !aead {
		return matchType(our, their, wire.TransformINTEG, true)
	}
	none := wire.Transform{Type: wire.TransformINTEG, ID: wire.IntegNone}
	offered := OfType(their, wire.TransformINTEG)
	if len(offered) > 0 && !slices.Contains(offered, none) {
		return t, false, &mismatch{rank: 3, words: func() string { return "they offer an integrity algorithm to a cipher that has its own" }}
	}
	return none, len(offered) > 0, nil
}

// matchType picks a transform of one type by our preference. If the type is optional, its absence
// stands for NONE. If it is required, NONE cannot be chosen: an IKE SA has a key exchange, and a
// cipher without its own integrity has an integrity algorithm.
func matchType(our, their wire.Proposal, typ wire.TransformType, must bool) (t wire.Transform, present bool, err *mismatch) {
	ourTs, theirTs := OfType(our, typ), OfType(their, typ)
	none := wire.Transform{Type: typ}
	noneMeansNothing := typ == wire.TransformKE || typ == wire.TransformINTEG
	if !must && len(ourTs) == 0 {
		ourTs = []wire.Transform{none}
	}
	for _, t := range ourTs {
		switch {
		case t.UnknownAttribute || must && noneMeansNothing && t.ID == none.ID: // never chosen
		case slices.Contains(theirTs, t):
			return t, true, nil
		case !must && t == none && len(theirTs) == 0:
			return t, false, nil
		}
	}
	return none, false, &mismatch{rank: 3, our: our, their: their, typ: typ}
}

// OfType returns the transforms of one type of a proposal.
func OfType(p wire.Proposal, typ wire.TransformType) []wire.Transform {
	var ts []wire.Transform
	for _, t := range p.Transforms {
		if t.Type == typ {
			ts = append(ts, t)
		}
	}
	return ts
}

// checkSPI checks the SPI of a peer's proposal: for ESP 4 octets with a value that is not reserved
// (RFC 4303, Section 2.1), for IKE none or 8 octets.
func checkSPI(p wire.Proposal) error {
	switch {
	case p.Protocol == wire.ProtoESP && len(p.SPI) != 4, p.Protocol == wire.ProtoIKE && len(p.SPI) != 0 && len(p.SPI) != 8:
		return fmt.Errorf("their proposal has an SPI of %d octets", len(p.SPI))
	case p.Protocol == wire.ProtoESP && binary.BigEndian.Uint32(p.SPI) < 256:
		return fmt.Errorf("their proposal has the reserved SPI %d", binary.BigEndian.Uint32(p.SPI))
	case len(p.SPI) == 8 && binary.BigEndian.Uint64(p.SPI) == 0:
		return errors.New("their proposal has the SPI zero")
	}
	return nil
}

// CheckAnswer makes the initiator's check that the answer is one of its proposals, by number, with
// exactly one transform of each of its types: "The initiator of an exchange MUST check that the
// accepted offer is consistent with one of its proposals" (RFC 7296, Section 3.3.6).
func CheckAnswer(offer []wire.Proposal, answer wire.Proposal) error {
	i := slices.IndexFunc(offer, func(p wire.Proposal) bool { return p.Number == answer.Number && p.Protocol == answer.Protocol })
	if i < 0 {
		return fmt.Errorf("the peer chose proposal %d for %v, which we did not offer", answer.Number, answer.Protocol)
	}
	// The answer must be what we would choose from it ourselves.
	seen := map[wire.TransformType]bool{}
	for _, t := range answer.Transforms {
		if seen[t.Type] {
			return fmt.Errorf("the peer chose two transforms of %v", t.Type)
		}
		seen[t.Type] = true
	}
	chosen, err := match(offer[i], answer)
	if err != nil {
		return fmt.Errorf("the peer chose what we did not offer: %w", err)
	}
	if len(chosen) != len(answer.Transforms) {
		return errors.New("the peer chose transforms that we did not offer")
	}
	return nil
}
