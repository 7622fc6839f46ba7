package proposal

import (
	"fmt"
	"slices"
	"strings"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// maxListed bounds the number of a peer's proposals that are listed.
const maxListed = 10

// Explain returns lines about why no proposal was chosen: the proposals of both sides, and the
// first difference of the nearest pair.
func Explain(ours, theirs []wire.Proposal) []string {
	lines := []string{"ours: " + List(ours), "theirs: " + List(theirs)}
	if len(theirs) == 0 {
		return append(lines, "first difference: they offer nothing that we could read")
	}
	nearest := &mismatch{rank: -1}
	for _, our := range ours {
		for _, their := range theirs {
			if _, m := match(our, their); m != nil && m.rank > nearest.rank {
				nearest = m
			}
		}
	}
	if nearest.rank < 0 {
		return lines
	}
	return append(lines, "first difference: "+nearest.Error())
}

// List returns the names of the proposals, at most maxListed of them.
func List(ps []wire.Proposal) string {
	var names []string
	for i, p := range ps {
		if i == maxListed {
			names = append(names, fmt.Sprintf("and %d more", len(ps)-i))
			break
		}
		names = append(names, identity.Printable(p.String()))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Error describes the difference.
func (m *mismatch) Error() string {
	if m.typ == 0 {
		return m.words()
	}
	return fmt.Sprintf("%v: we have %s, they have %s", m.typ, namesOfType(m.our, m.typ), namesOfType(m.their, m.typ))
}

// namesOfType returns the names of a proposal's transforms of one type.
func namesOfType(p wire.Proposal, typ wire.TransformType) string {
	var names []string
	for _, t := range OfType(p, typ) {
		names = append(names, t.String())
	}
	if len(names) == 0 {
		return "nothing"
	}
	return identity.Printable(strings.Join(names, " or "))
}

// Groups returns the names of all key exchange methods of the proposals, each once, in their order;
// empty if there are none.
func Groups(ps []wire.Proposal) string {
	var names []string
	for _, p := range ps {
		for _, t := range OfType(p, wire.TransformKE) {
			if name := wire.GroupName(t.ID); t.ID != wire.GroupNone && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}
