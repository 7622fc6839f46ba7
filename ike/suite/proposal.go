package suite

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"culvert/ike/wire"
)

// ParseIKEProposal parses a proposal such as "aes256gcm16-prfsha384-x25519" or
// "aes256-sha256-modp2048-ecp256". Keywords of one kind are alternatives, in order of preference.
// Without a PRF, the integrity algorithms also select the PRFs; with an AEAD they select nothing
// else. The error names the keyword and the remedy. The proposal's number is 1.
func ParseIKEProposal(text string) (wire.Proposal, error) {
	p, err := parseProposal(text, wire.ProtoIKE, completeIKE)
	if err != nil {
		return wire.Proposal{}, fmt.Errorf("proposal %q: %w", text, err)
	}
	return p, nil
}

// ParseESPProposal parses a proposal such as "aes128gcm16-x25519-esn" or "aes256-sha256-modp2048":
// ciphers, with integrity algorithms unless the ciphers have their own, optionally groups for a key
// exchange of the Child SA's own, and optionally "esn", "noesn" or both. Without either
// of these it is "noesn", as in strongSwan. The error names the keyword and the remedy. The
// proposal's number is 1.
func ParseESPProposal(text string) (wire.Proposal, error) {
	p, err := parseProposal(text, wire.ProtoESP, completeESP)
	if err != nil {
		return wire.Proposal{}, fmt.Errorf("proposal %q: %w", text, err)
	}
	return p, nil
}

func parseProposal(text string, protocol wire.ProtocolID, complete func(*wire.Proposal) error) (wire.Proposal, error) {
	p := wire.Proposal{Number: 1, Protocol: protocol}
	if text == "" {
		return p, fmt.Errorf("empty; use for example %s", example(protocol))
	}
	for word := range strings.SplitSeq(text, "-") {
		t, ok := words[strings.ToLower(word)]
		switch {
		case !ok:
			return p, unknownWord(word, protocol)
		case !fits(t, protocol):
			return p, misplaced(word, t, protocol)
		case slices.Contains(p.Transforms, t):
			return p, fmt.Errorf("%q repeats an earlier algorithm; omit it", word)
		}
		p.Transforms = append(p.Transforms, t)
	}
	if err := complete(&p); err != nil {
		return p, err
	}
	sortTransforms(p.Transforms)
	return p, nil
}

// fits reports whether a transform may be in a proposal for the protocol.
func fits(t wire.Transform, protocol wire.ProtocolID) bool {
	switch t.Type {
	case wire.TransformPRF:
		return protocol == wire.ProtoIKE
	case wire.TransformESN:
		return protocol == wire.ProtoESP
	case wire.TransformENCR:
		return protocol == wire.ProtoESP || !encryptions[t.ID].espOnly
	}
	return true
}

func misplaced(word string, t wire.Transform, protocol wire.ProtocolID) error {
	if t.Type == wire.TransformENCR {
		return fmt.Errorf("%q does not encrypt, which an IKE SA must; use for example %s", word, example(protocol))
	}
	return fmt.Errorf("%q does not apply to %v; omit it", word, protocol)
}

// unknownWord returns the error for an unknown keyword. It suggests the nearest one that fits.
func unknownWord(word string, protocol wire.ProtocolID) error {
	best, distance := "", len(word)/2+1
	for _, w := range slices.Sorted(maps.Keys(words)) {
		if words[w].String() != w || !fits(words[w], protocol) {
			continue
		}
		if d := editDistance(strings.ToLower(word), w); d < distance {
			best, distance = w, d
		}
	}
	if best == "" {
		return fmt.Errorf("unknown keyword %q; use for example %s", word, example(protocol))
	}
	return fmt.Errorf("unknown keyword %q; did you mean %q?", word, best)
}

func example(protocol wire.ProtocolID) string {
	if protocol == wire.ProtoESP {
		return `"aes128gcm16" or "aes256-sha256-x25519"`
	}
	return `"aes256gcm16-prfsha384-x25519"`
}

// editDistance returns the number of octets to insert, remove or replace to turn a into b. For an a
// of more than 64 octets it returns the length of a, so that the work is bounded.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

var errNoIntegrity = errors.New(`the cipher needs an integrity algorithm; add "sha256"`)

// completeIKE adds the implied PRFs. The error names what is missing.
func completeIKE(p *wire.Proposal) error {
	aead, err := onlyAEAD(p)
	if err != nil {
		return err
	}
	integ := ofType(p, wire.TransformINTEG)
	if len(ofType(p, wire.TransformPRF)) == 0 {
		for _, t := range integ {
			p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformPRF, ID: prfOfInteg[t.ID]})
		}
	} else if aead && len(integ) > 0 {
		return fmt.Errorf("%q: the cipher has its own integrity check; omit it", integ[0])
	}
	if aead {
		p.Transforms = slices.DeleteFunc(p.Transforms, func(t wire.Transform) bool { return t.Type == wire.TransformINTEG })
	}
	switch {
	case !aead && len(integ) == 0:
		return errNoIntegrity
	case len(ofType(p, wire.TransformPRF)) == 0:
		return errors.New(`no PRF; add "prfsha256"`)
	case len(ofType(p, wire.TransformKE)) == 0:
		return errors.New(`no key exchange; add "x25519"`)
	}
	return nil
}

func completeESP(p *wire.Proposal) error {
	aead, err := onlyAEAD(p)
	switch integ := ofType(p, wire.TransformINTEG); {
	case err != nil:
		return err
	case aead && len(integ) > 0:
		return fmt.Errorf("%q: the cipher has its own integrity check; omit it", integ[0])
	case !aead && len(integ) == 0:
		return errNoIntegrity
	}
	if len(ofType(p, wire.TransformESN)) == 0 {
		p.Transforms = append(p.Transforms, words["noesn"])
	}
	return nil
}

// onlyAEAD reports whether the ciphers are AEADs. A mixture is an error: an AEAD must not have an
// integrity algorithm, another cipher needs one (RFC 7296, Section 3.3).
func onlyAEAD(p *wire.Proposal) (bool, error) {
	ciphers := ofType(p, wire.TransformENCR)
	if len(ciphers) == 0 {
		return false, errors.New(`no cipher; add "aes256gcm16"`)
	}
	aead := encryptions[ciphers[0].ID].aead != nil
	for _, t := range ciphers {
		if (encryptions[t.ID].aead != nil) != aead {
			return false, fmt.Errorf("%q and %q cannot be in one proposal; use a proposal for each", ciphers[0], t)
		}
	}
	return aead, nil
}

func ofType(p *wire.Proposal, typ wire.TransformType) []wire.Transform {
	return slices.DeleteFunc(slices.Clone(p.Transforms), func(t wire.Transform) bool { return t.Type != typ })
}

// sortTransforms sorts by type, in the usual order of proposals. The order within a type is the
// preference and does not change.
func sortTransforms(ts []wire.Transform) {
	order := []wire.TransformType{wire.TransformENCR, wire.TransformINTEG, wire.TransformPRF, wire.TransformKE, wire.TransformESN}
	slices.SortStableFunc(ts, func(a, b wire.Transform) int {
		return cmp.Compare(slices.Index(order, a.Type), slices.Index(order, b.Type))
	})
}

// IKEProposalName returns the proposal in the keywords of ParseIKEProposal, in their usual order,
// such as "aes256gcm16-prfsha384-x25519".
func IKEProposalName(p wire.Proposal) string { return proposalName(p) }

// ESPProposalName returns the proposal in the keywords of ParseESPProposal, in their usual order,
// such as "aes128gcm16-esn". It omits "noesn" where that is the only choice, and a group of "none".
func ESPProposalName(p wire.Proposal) string { return proposalName(p) }

func proposalName(p wire.Proposal) string {
	none := wire.Transform{Type: wire.TransformKE, ID: wire.GroupNone}
	p.Transforms = slices.Clone(p.Transforms)
	if groups := ofType(&p, wire.TransformKE); len(groups) == 1 && groups[0] == none {
		p.Transforms = slices.DeleteFunc(p.Transforms, func(t wire.Transform) bool { return t == none })
	}
	sortTransforms(p.Transforms)
	return p.String()
}
