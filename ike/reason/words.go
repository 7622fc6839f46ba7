package reason

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"culvert/ike/identity"
	"culvert/ike/proposal"
	"culvert/ike/wire"
)

// refine makes the cause more special by the first difference.
func (f *Facts) refine() {
	switch d, known := f.difference(); {
	case f.Cause == IKEProposal && (known && d.Type == wire.TransformKE || f.Answer == wire.InvalidKEPayload):
		f.Cause = IKEGroup
	case f.Cause == ESPProposal && (known && d.Type == wire.TransformKE || f.Answer == wire.InvalidKEPayload):
		f.Cause = PFS
	case f.Cause == ESPProposal && known && d.Type == wire.TransformESN:
		f.Cause = ESN
	}
}

// difference returns the first difference of the proposals; known is false if they do not differ,
// or those of the peer are not known.
func (f *Facts) difference() (d proposal.Difference, known bool) {
	if f.Answer != 0 || f.Cause != IKEProposal && f.Cause != IKEGroup && f.Cause != ESPProposal && f.Cause != PFS && f.Cause != ESN {
		return d, false
	}
	return proposal.Compare(f.Ours.Proposals, f.Theirs.Proposals)
}

// words returns the first line.
func (f *Facts) words() string {
	switch f.Cause {
	case IKEProposal, IKEGroup, ESPProposal, PFS, ESN:
		return f.ofProposals()
	case Networks:
		return f.ofNetworks()
	case Narrowed:
		return f.ofGrant()
	case Secret, Identity, Method, Certificate, Rejected:
		return f.ofProof()
	case Answered:
		return f.answer() + ": " + cmp.Or(f.Why, meanings[f.Answer], "what it means is unknown here; see the peer's log")
	case Version:
		return f.ofVersion()
	case Cookie:
		return fmt.Sprintf("the peer asks for a cookie again and again (%d times): something between us changes our messages or their source, or its secret changes too fast", f.Ours.Times)
	}
	return f.Why
}

// after returns text behind something, or "" if it is empty.
func after(between, text string) string {
	if text == "" {
		return ""
	}
	return between + text
}

// answer says what the peer answered to what.
func (f *Facts) answer() string {
	if f.In == 0 {
		return fmt.Sprintf("the peer answered %v", f.Answer)
	}
	return fmt.Sprintf("the peer answered %v to %v", f.Answer, f.In)
}

// itsLog is where to find what the peer does not tell.
const itsLog = "the other side's log knows which"

// ofProposals is words for proposals that do not match.
func (f *Facts) ofProposals() string {
	ike := f.Cause == IKEProposal || f.Cause == IKEGroup
	d, known := f.difference()
	switch {
	case known && f.Cause == IKEGroup:
		return "no common key exchange for IKE: " + twoSides(d)
	case known && f.Cause == PFS:
		return only(d) + "PFS differs: " + twoSides(d)
	case known && f.Cause == ESN:
		return only(d) + "ESN differs: " + twoSides(d)
	case known && ike:
		return "no common IKE proposal: " + d.Text
	case known:
		return "no common ESP proposal: " + d.Text
	case f.Answer == wire.InvalidKEPayload:
		return f.ofGroup(ike)
	case f.Answer == 0: // the lists agree, but not in one of the orders that count
		return "no common proposal" + after(": ", f.Why)
	case ike && f.In == wire.CreateChildSA:
		return f.answer() + ": it accepts none of our IKE proposals at a rekeying; " + itsLog + " differs"
	case ike:
		return f.answer() + ": it accepts none of our IKE proposals, or has no peer for our address; " + itsLog
	case f.Cause == PFS:
		return f.answer() + ", and accepted the same ciphers in IKE_AUTH, where there is no key exchange: its setting for PFS differs (key exchanges offered: " +
			cmp.Or(proposal.Groups(f.Ours.Proposals), "none") + "); see pfs and proposals"
	}
	return f.answer() + ": it accepts none of our ESP proposals" + f.perhaps() + "; " + itsLog + " differs"
}

// only returns a word in front of a difference that is the only one.
func only(d proposal.Difference) string {
	if d.Alone {
		return "only "
	}
	return "no common ESP proposal: "
}

// twoSides returns what both sides have of the type in which they differ.
func twoSides(d proposal.Difference) string {
	return fmt.Sprintf("we have %s, they have %s", cmp.Or(d.Our, "none"), cmp.Or(d.Their, "none"))
}

// ofGroup is words for an INVALID_KE_PAYLOAD that is not followed.
func (f *Facts) ofGroup(ike bool) string {
	offered := cmp.Or(proposal.Groups(f.Ours.Proposals), "none")
	what := "its setting for PFS differs: "
	if ike {
		what = "no common key exchange for IKE: "
	}
	switch {
	case f.Ours.Times > 0:
		return fmt.Sprintf("the peer asks for another key exchange once too often (INVALID_KE_PAYLOAD, %d times), at last for %s; we offer %s", f.Ours.Times, wire.GroupName(f.Group), offered)
	case f.Why != "":
		return what + f.Why
	case f.Group == wire.GroupNone:
		return what + "the peer answered INVALID_KE_PAYLOAD without one that we offer; we offer " + offered
	}
	return fmt.Sprintf("%sthe peer wants key exchange %s, which we do not offer; we offer %s", what, wire.GroupName(f.Group), offered)
}

// perhaps says what of our offer many peers cannot do.
func (f *Facts) perhaps() string {
	var list []string
	if f.In == wire.CreateChildSA {
		list = append(list, "it may want another PFS (key exchanges offered: "+cmp.Or(proposal.Groups(f.Ours.Proposals), "none")+")")
	}
	if alwaysESN(f.Ours.Proposals) {
		list = append(list, `it may have no ESN, which esn = "always" needs`)
	}
	if f.Ours.Raw {
		list = append(list, `it may carry ESP in UDP only, which encap = "never" excludes`)
	}
	if len(list) == 0 {
		return ""
	}
	return "; " + strings.Join(list, "; ")
}

// alwaysESN reports whether all proposals have ESN alone.
func alwaysESN(ps []wire.Proposal) bool {
	return len(ps) > 0 && !slices.ContainsFunc(ps, func(p wire.Proposal) bool {
		return !slices.Equal(proposal.OfType(p, wire.TransformESN), []wire.Transform{{Type: wire.TransformESN, ID: wire.ESNYes}})
	})
}

// ofVersion is words for a peer of another version of IKE.
func (f *Facts) ofVersion() string {
	if f.Answer != 0 {
		return f.answer() + ": it does not speak IKEv2; its connection must be set to IKEv2"
	}
	return f.Why + ", and we speak IKEv2 only: its connection must be set to IKEv2"
}

// meanings are the errors of a peer in words.
var meanings = map[wire.NotifyType]string{
	wire.TemporaryFailure:           "it is busy with these SAs, and may accept it later",
	wire.NoAdditionalSAs:            "it has no room for another Child SA, or makes none but the first",
	wire.SinglePairRequired:         "it makes a Child SA for a single pair of addresses only, those of a packet",
	wire.InternalAddressFailure:     "it has no address to assign, and would assign one to us",
	wire.FailedCPRequired:           "it wants us to ask for an address (CP), which is not supported",
	wire.InvalidSyntax:              "it cannot read our message, or does not allow what is in it",
	wire.InvalidIKESPI:              "it does not know this IKE SA",
	wire.InvalidMessageID:           "it counts the messages of this IKE SA otherwise",
	wire.ChildSANotFound:            "it has no such Child SA",
	wire.UnsupportedCriticalPayload: "it does not understand one of our payloads",
	wire.InvalidSelectors:           "it received a packet outside of the networks of its Child SA",
	wire.TSMaxQueue:                 "it makes no further Child SA for single workers",
	wire.AuthorizationFailed:        "it does not let our identity do that",
	wire.UnexpectedNATDetected:      "it allows no NAT between us",
	wire.InvalidKEPayload:           "it wants another key exchange",
	wire.NoProposalChosen:           "it accepts none of our proposals",
	wire.TSUnacceptable:             "it grants none of our networks",
	wire.AuthenticationFailed:       "it does not accept our proof of identity",
}

// short returns an identity, so that several fit into a line.
func short(id string) string { return identity.PrintableTo(id, 100) }
