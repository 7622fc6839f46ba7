package reason

import (
	"cmp"
	"slices"

	"culvert/ike/proposal"
)

// unknown stands for what the peer did not tell.
const unknown = "unknown; see the peer's log"

// details returns the further lines: what both sides offered.
func (f *Facts) details() []string {
	var lines []string
	switch f.Cause {
	case IKEProposal, IKEGroup, ESPProposal, PFS, ESN:
		lines = f.proposals()
	case Networks, Narrowed:
		lines = f.networks()
	case Mode:
		if len(f.Ours.Local) > 0 {
			lines = f.networks()
		}
	case Secret, Identity, Method, Certificate, Rejected:
		lines = f.proofs()
	}
	return append(lines, f.Details...)
}

func (f *Facts) proposals() []string {
	theirs := unknown
	switch {
	case len(f.Theirs.Proposals) > 0:
		theirs = proposal.List(f.Theirs.Proposals)
	case f.Answer == 0:
		theirs = "none that could be read"
	}
	lines := []string{"ours: " + proposal.List(f.Ours.Proposals), "theirs: " + theirs}
	if d, ok := f.difference(); ok {
		lines = append(lines, "first difference: "+d.Text)
	}
	return lines
}

func (f *Facts) networks() []string {
	theirs := unknown
	if len(f.Theirs.Local)+len(f.Theirs.Remote) > 0 || f.Answer == 0 {
		theirs = sides(f.Theirs)
	}
	return []string{"ours: " + sides(f.Ours), "theirs: " + theirs}
}

func sides(o Offer) string { return "local " + List(o.Local) + ", remote " + List(o.Remote) }

// proofs tells who each side said that it is, and whom it expected.
func (f *Facts) proofs() []string {
	ours, theirs := f.Ours, f.Theirs
	if ours.ID+ours.Expects+theirs.ID == "" {
		return nil
	}
	lines := []string{"ours: " + cmp.Or(ours.ID, "no identity") + after(", by ", ours.Proof)}
	if ours.Expects != "" {
		lines = append(lines, "expected of the peer: "+ours.Expects)
	}
	switch {
	case theirs.ID != "":
		lines = append(lines, "theirs: "+theirs.ID+after(", by ", theirs.Proof)+after(", to ", theirs.Expects))
	case f.Answer != 0:
		lines = append(lines, "theirs: "+unknown)
	}
	return slices.Clip(lines)
}
