package ike

import (
	"fmt"
	"slices"
	"strings"

	"culvert/ike/wire"
)

// transformNames are the words of proposals as people write them, "aes256gcm16-prfsha384-x25519".
var transformNames = map[wire.Transform]string{
	{Type: wire.TransformENCR, ID: wire.EncrNULL}:             "null",
	{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}: "chacha20poly1305",

	{Type: wire.TransformPRF, ID: wire.PRFHMACSHA1}:    "prfsha1",
	{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256}: "prfsha256",
	{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2384}: "prfsha384",
	{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2512}: "prfsha512",

	{Type: wire.TransformINTEG, ID: wire.IntegNone}:        "",
	{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA196}:  "sha1",
	{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256}: "sha256",
	{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2384}: "sha384",
	{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2512}: "sha512",

	{Type: wire.TransformKE, ID: wire.GroupNone}:     "nopfs",
	{Type: wire.TransformKE, ID: wire.GroupMODP1024}: "modp1024",
	{Type: wire.TransformKE, ID: wire.GroupMODP1536}: "modp1536",
	{Type: wire.TransformKE, ID: wire.GroupMODP2048}: "modp2048",
	{Type: wire.TransformKE, ID: wire.GroupMODP3072}: "modp3072",
	{Type: wire.TransformKE, ID: wire.GroupMODP4096}: "modp4096",
	{Type: wire.TransformKE, ID: wire.GroupECP256}:   "ecp256",
	{Type: wire.TransformKE, ID: wire.GroupECP384}:   "ecp384",
	{Type: wire.TransformKE, ID: wire.GroupECP521}:   "ecp521",
	{Type: wire.TransformKE, ID: wire.GroupX25519}:   "x25519",
	{Type: wire.TransformKE, ID: wire.GroupX448}:     "x448",

	{Type: wire.TransformESN, ID: wire.ESNNo}:  "",
	{Type: wire.TransformESN, ID: wire.ESNYes}: "esn",
}

// aesNames are the AES modes, whose name has the key length in it.
var aesNames = map[wire.TransformID]string{
	wire.EncrAESCBC: "aes%d", wire.EncrAESCTR: "aes%dctr",
	wire.EncrAESGCM8: "aes%dgcm8", wire.EncrAESGCM12: "aes%dgcm12", wire.EncrAESGCM16: "aes%dgcm16",
	wire.EncrNULLAuthAESGMAC: "aes%dgmac",
}

// absentNames are for the transforms that a proposal's name leaves out.
var absentNames = map[wire.TransformType]string{wire.TransformINTEG: "none", wire.TransformESN: "noesn"}

// nameOrder is the order of transform types in a proposal's name.
var nameOrder = []wire.TransformType{wire.TransformENCR, wire.TransformINTEG, wire.TransformPRF, wire.TransformKE, wire.TransformESN}

// proposalName is the proposal as the configuration writes it. Several transforms of one type, as peers may send, are joined by '|'.
func proposalName(p wire.Proposal) string {
	types := slices.Clone(nameOrder)
	for _, t := range p.Transforms {
		if !slices.Contains(types, t.Type) {
			types = append(types, t.Type)
		}
	}
	var parts []string
	for _, typ := range types {
		if name := joinNames(ofType(p, typ)); name != "" {
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, "-")
}

// maxNames bounds what is printed of one type of a peer's proposal.
const maxNames = 16

func joinNames(ts []wire.Transform) string {
	var names []string
	for _, t := range ts {
		if len(names) == maxNames {
			names = append(names, "...")
			break
		}
		name := transformName(t)
		if name == "" && len(ts) > 1 {
			name = absentNames[t.Type]
		}
		names = append(names, name)
	}
	return strings.Join(names, "|")
}

func transformName(t wire.Transform) string {
	suffix := ""
	if t.UnknownAttribute {
		suffix = "(unknown attribute)"
		t.UnknownAttribute = false
	}
	if format, ok := aesNames[t.ID]; ok && t.Type == wire.TransformENCR && t.KeyLength != 0 {
		return fmt.Sprintf(format, t.KeyLength) + suffix
	}
	if name, ok := transformNames[t]; ok {
		return name + suffix
	}
	if t.KeyLength != 0 {
		suffix = fmt.Sprintf("/%d", t.KeyLength) + suffix
	}
	return fmt.Sprintf("%s#%d%s", typeName(t.Type), t.ID, suffix)
}

func typeName(typ wire.TransformType) string {
	switch typ {
	case wire.TransformENCR:
		return "encryption"
	case wire.TransformPRF:
		return "prf"
	case wire.TransformINTEG:
		return "integrity"
	case wire.TransformKE:
		return "group"
	case wire.TransformESN:
		return "esn"
	}
	return fmt.Sprintf("transform type %d", typ)
}

func protocolName(p wire.ProtocolID) string {
	switch p {
	case wire.ProtoIKE:
		return "IKE"
	case wire.ProtoAH:
		return "AH"
	case wire.ProtoESP:
		return "ESP"
	}
	return fmt.Sprintf("protocol %d", p)
}

// namesOfType is what a proposal has of one transform type, in words.
func namesOfType(p wire.Proposal, typ wire.TransformType) string {
	ts := ofType(p, typ)
	if len(ts) == 0 {
		return "nothing"
	}
	if name := joinNames(ts); name != "" {
		return name
	}
	return absentNames[typ]
}

// maxExplained bounds how many of a peer's proposals are listed.
const maxExplained = 10

// explainProposals says why no proposal was chosen: what both sides have, and the first difference of the pair that came nearest.
func explainProposals(ours, theirs []wire.Proposal) []string {
	lines := []string{"ours: " + listProposals(ours), "theirs: " + listProposals(theirs)}
	if len(theirs) == 0 {
		return append(lines, "first difference: they have no proposal of the right kind")
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

func listProposals(ps []wire.Proposal) string {
	var names []string
	for i, p := range ps {
		if i == maxExplained {
			names = append(names, fmt.Sprintf("and %d more", len(ps)-i))
			break
		}
		names = append(names, proposalName(p))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
