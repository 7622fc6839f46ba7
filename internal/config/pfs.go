package config

import (
	"cmp"
	"slices"

	"culvert/ike/proposal"
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// pfsMode is [[peer]] pfs: whether the Child SAs have a key exchange of their own, which gives
// perfect forward secrecy (RFC 7296, Section 1.3).
type pfsMode int

const (
	pfsAuto    pfsMode = iota // as the proposals say; the default ones allow both
	pfsRequire                // always, but for those of IKE_AUTH, which have none
	pfsOff                    // never
)

func (s section) pfs() pfsMode { return pfsMode(s.word("pfs", "auto", "require", "off")) }

// apply returns the ESP proposals that the mode leaves. With pfsRequire the default groups are
// added to proposals without any, of which those that differ in nothing else are left out.
func (m pfsMode) apply(ps []wire.Proposal) []wire.Proposal {
	switch m {
	case pfsOff:
		return proposal.Distinct(proposal.WithoutKE(ps))
	case pfsRequire:
		ps = slices.Clone(ps)
		for i, p := range ps {
			if proposal.Group(p) == wire.GroupNone {
				ps[i].Transforms = append(slices.Clone(p.Transforms), defaultGroups()...)
				slices.SortStableFunc(ps[i].Transforms, func(a, b wire.Transform) int { return cmp.Compare(a.Type, b.Type) })
			}
		}
		return proposal.Distinct(ps)
	}
	return ps
}

// defaultGroups returns the key exchange methods of the default proposals.
func defaultGroups() []wire.Transform {
	return slices.DeleteFunc(slices.Clone(suite.DefaultESPProposals()[0].Transforms), func(t wire.Transform) bool {
		return t.Type != wire.TransformKE
	})
}
