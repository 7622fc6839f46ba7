package config

import (
	"slices"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

func (s section) ikeProposals() []wire.Proposal {
	if !s.has("ike_proposals") {
		return suite.DefaultIKEProposals()
	}
	return s.proposals("ike_proposals", suite.ParseIKEProposal)
}

func (s section) proposals(name string, parse func(string) (wire.Proposal, error)) []wire.Proposal {
	var out []wire.Proposal
	for _, e := range s.list(name) {
		p, err := parse(e.text)
		if err != nil {
			s.fail(e.at, "%s: %v", name, err)
			continue
		}
		s.warnWeak(e.at, name, p)
		p.Number = uint8(len(out) + 1)
		out = append(out, p)
	}
	switch n := len(s.list(name)); {
	case n == 0:
		s.fail(name, "%s is empty; list proposals, or omit it for the default", name)
	case n > 255:
		s.fail(name, "%s has %d proposals; use at most 255", name, n) // RFC 7296, Section 3.3.1: the number is one octet
	}
	return out
}

// warnWeak warns of what should not be in a proposal. HMAC-SHA1 as the PRF that follows from the
// integrity algorithm is not named again.
func (s section) warnWeak(at, name string, p wire.Proposal) {
	sha1 := slices.Contains(p.Transforms, wire.Transform{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA196})
	for _, t := range p.Transforms {
		if why := suite.Weak(t); why != "" && !(sha1 && t.Type == wire.TransformPRF) {
			s.file.warn(s.line(at), "%s%s: %q %s; remove it if the peer has another", s.where, name, t, why)
		}
	}
}
