// Package proposal compares the proposals of SA payloads: what a responder chooses, whether an initiator
// may take the answer, and the first difference where there is none (RFC 7296, Sections 2.7 and 3.3).
package proposal

import (
	"slices"

	"culvert/ike/wire"
)

// Group is the key exchange method of a proposal; of one with several, the first.
func Group(p wire.Proposal) wire.TransformID {
	if ts := OfType(p, wire.TransformKE); len(ts) > 0 {
		return ts[0].ID
	}
	return wire.GroupNone
}

// OffersGroup says whether a method is one of those offered.
func OffersGroup(offers []wire.Proposal, group wire.TransformID) bool {
	for _, p := range offers {
		for _, t := range OfType(p, wire.TransformKE) {
			if t.ID == group && group != wire.GroupNone {
				return true
			}
		}
	}
	return false
}

// Numbered is proposals as an SA payload lists them, each with the SPI.
func Numbered(ps []wire.Proposal, spi []byte) []wire.Proposal {
	out := make([]wire.Proposal, 0, len(ps))
	for i, p := range ps {
		p.Number, p.SPI = uint8(i+1), spi
		out = append(out, p)
	}
	return out
}

// Distinct leaves out proposals that another one before is equal to.
func Distinct(ps []wire.Proposal) []wire.Proposal {
	var out []wire.Proposal
	for _, p := range ps {
		if !slices.ContainsFunc(out, func(q wire.Proposal) bool { return slices.Equal(p.Transforms, q.Transforms) }) {
			out = append(out, p)
		}
	}
	return out
}

// WithPRF is the proposal without any other PRF; not ok if it lacks this one.
func WithPRF(p wire.Proposal, prf wire.Transform) (wire.Proposal, bool) {
	p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t wire.Transform) bool { return t.Type == wire.TransformPRF && t != prf })
	return p, slices.Contains(p.Transforms, prf)
}
