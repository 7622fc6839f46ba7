package suite

import "culvert/ike/wire"

// groupWords are the key exchange methods of the default proposals. The cheap ones of 128 bits of
// strength come first, because an initiator sends its public value for the first method. MODP-2048
// is for peers that have nothing better (RFC 8247, Section 2.4).
const groupWords = "-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048"

const prfWords = "-prfsha384-prfsha256-prfsha512"

// DefaultIKEProposals returns the proposals of a peer without ike_proposals: every AEAD, then
// AES-CBC with HMAC-SHA2. Both overlap with strongSwan's defaults. Two culverts choose
// aes256gcm16-prfsha384-x25519.
func DefaultIKEProposals() []wire.Proposal {
	return parsed(ParseIKEProposal,
		"aes256gcm16-aes128gcm16-aes192gcm16-chacha20poly1305"+prfWords+groupWords,
		"aes256-aes128-aes192-sha384-sha256-sha512"+prfWords+groupWords)
}

// DefaultESPProposals returns the proposals of a child without proposals: the AEADs, then AES-CBC
// with HMAC-SHA2 for peers that have no AEAD, with and without ESN; each first with a key exchange
// of the Child SA's own, and then without. A peer that wants perfect forward secrecy takes the
// former, in CREATE_CHILD_SA, where there is one; a peer that is not set up for it takes the
// latter. In IKE_AUTH both are the same. AES-CBC costs 88 octets there.
//
// Both kinds of sequence numbers are in one proposal, ESN first. Two culverts agree on ESN. A peer
// that is not configured for ESN, which is strongSwan's default, picks the other kind from the same
// proposal. A peer that accepts ESN and then cannot use it needs "noesn" alone.
func DefaultESPProposals() []wire.Proposal {
	const (
		aeads = "aes128gcm16-aes256gcm16-aes192gcm16-chacha20poly1305-esn-noesn"
		cbc   = "aes128-aes256-aes192-sha256-sha512-sha384-esn-noesn"
	)
	return parsed(ParseESPProposal, aeads+groupWords, aeads, cbc+groupWords, cbc)
}

// parsed parses and numbers built-in proposals. It panics if one is wrong.
func parsed(parse func(string) (wire.Proposal, error), texts ...string) []wire.Proposal {
	ps := make([]wire.Proposal, len(texts))
	for i, text := range texts {
		p, err := parse(text)
		if err != nil {
			panic("suite: internal error: " + err.Error())
		}
		p.Number = uint8(i + 1)
		ps[i] = p
	}
	return ps
}
