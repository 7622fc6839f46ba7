package proposal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// maxListed bounds the number of a peer's proposals that are listed.
const maxListed = 10

// A Difference is the first one between two lists of proposals: that of the nearest pair.
type Difference struct {
	Type wire.TransformType // in which they differ; 0: otherwise, see Text
	// Our and Their are the names of the transforms of that type on both sides; "": there are none.
	Our, Their string
	Text       string // all of it, in words, which may need escaping
	Alone      bool   // they agree in all other types
}

// Compare returns the first difference of two lists of proposals. ok is false if there is none.
func Compare(ours, theirs []wire.Proposal) (d Difference, ok bool) {
	if len(theirs) == 0 {
		return Difference{Text: "they offer nothing that we could read"}, true
	}
	nearest := &mismatch{rank: -1}
	for _, our := range ours {
		for _, their := range theirs {
			if _, m := match(our, their); m != nil && m.rank > nearest.rank {
				nearest = m
			}
		}
	}
	switch {
	case nearest.rank < 0:
		return Difference{}, false
	case nearest.typ == 0:
		return Difference{Text: nearest.words()}, true
	}
	return Difference{
		Type: nearest.typ, Our: namesOfType(nearest.our, nearest.typ), Their: namesOfType(nearest.their, nearest.typ),
		Text: nearest.Error(), Alone: Matches(nearest.our, withType(nearest.their, nearest.our, nearest.typ)),
	}, true
}

// withType returns a proposal with the transforms of one type that another one has.
func withType(p, like wire.Proposal, typ wire.TransformType) wire.Proposal {
	p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t wire.Transform) bool { return t.Type == typ })
	p.Transforms = append(p.Transforms, OfType(like, typ)...)
	return p
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

// typeNames are the types of transforms in words.
var typeNames = map[wire.TransformType]string{
	wire.TransformENCR: "encryption", wire.TransformPRF: "PRF", wire.TransformINTEG: "integrity", wire.TransformKE: "key exchange", wire.TransformESN: "sequence numbers",
}

// Error describes the difference.
func (m *mismatch) Error() string {
	if m.typ == 0 {
		return m.words()
	}
	nothing := func(s string) string { return cmp.Or(s, "nothing") }
	return fmt.Sprintf("%s: we have %s, they have %s", typeNames[m.typ], nothing(namesOfType(m.our, m.typ)), nothing(namesOfType(m.their, m.typ)))
}

// maxNames bounds the transforms of one type that are named.
const maxNames = 6

// namesOfType returns the names of a proposal's transforms of one type, or "".
func namesOfType(p wire.Proposal, typ wire.TransformType) string {
	var names []string
	for i, t := range OfType(p, typ) {
		if i == maxNames {
			names = append(names, "others")
			break
		}
		names = append(names, t.String())
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
