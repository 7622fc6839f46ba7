// Package proposal compares the proposals of SA payloads: the responder's choice, the initiator's
// check of the answer, and the first difference if they do not match (RFC 7296, Sections 2.7 and
// 3.3).
package proposal

import (
	"slices"

	"culvert/ike/wire"
)

// Group returns the first key exchange method of a proposal, or GroupNone.
func Group(p wire.Proposal) wire.TransformID {
	if ts := OfType(p, wire.TransformKE); len(ts) > 0 {
		return ts[0].ID
	}
	return wire.GroupNone
}

// OffersGroup reports whether a key exchange method is among those offered.
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

// Preferring returns the proposals with those first that have the key exchange method, or, for
// GroupNone, those that have none.
func Preferring(ps []wire.Proposal, group wire.TransformID) []wire.Proposal {
	has := func(p wire.Proposal) bool {
		return OffersGroup([]wire.Proposal{p}, group) || group == wire.GroupNone && Group(p) == wire.GroupNone
	}
	first := slices.DeleteFunc(slices.Clone(ps), func(p wire.Proposal) bool { return !has(p) })
	return append(first, slices.DeleteFunc(slices.Clone(ps), has)...)
}

// Numbered returns the proposals as an SA payload lists them, numbered from 1, each with the SPI.
func Numbered(ps []wire.Proposal, spi []byte) []wire.Proposal {
	out := make([]wire.Proposal, 0, len(ps))
	for i, p := range ps {
		p.Number, p.SPI = uint8(i+1), spi
		out = append(out, p)
	}
	return out
}

// Distinct returns the proposals without those that equal an earlier one.
func Distinct(ps []wire.Proposal) []wire.Proposal {
	var out []wire.Proposal
	for _, p := range ps {
		if !slices.ContainsFunc(out, func(q wire.Proposal) bool { return slices.Equal(p.Transforms, q.Transforms) }) {
			out = append(out, p)
		}
	}
	return out
}

// WithPRF returns the proposal without any other PRF. It is not ok if the proposal lacks this one.
func WithPRF(p wire.Proposal, prf wire.Transform) (wire.Proposal, bool) {
	p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t wire.Transform) bool { return t.Type == wire.TransformPRF && t != prf })
	return p, slices.Contains(p.Transforms, prf)
}
