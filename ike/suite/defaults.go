package suite

import "culvert/ike/wire"

// groupWords are the key exchange methods of the default proposals. Those of 128 bits of strength and little work come first: an initiator sends
// its public value for the first. MODP-2048 is there for peers that have nothing better (RFC 8247, Section 2.4).
const groupWords = "-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048"

const prfWords = "-prfsha384-prfsha256-prfsha512"

// DefaultIKEProposals are the proposals of a peer without ike_proposals: every AEAD, then AES-CBC with HMAC-SHA2. Both meet strongSwan's own defaults. Two culverts
// choose aes256gcm16-prfsha384-x25519.
func DefaultIKEProposals() []wire.Proposal {
	return parsed(ParseIKEProposal,
		"aes256gcm16-aes128gcm16-aes192gcm16-chacha20poly1305"+prfWords+groupWords,
		"aes256-aes128-aes192-sha384-sha256-sha512"+prfWords+groupWords)
}

// DefaultESPProposals are the proposals of a child without proposals: every AEAD, with and without ESN, and no key exchange of its own.
//
// Both kinds of sequence numbers are in one proposal, ESN first. Two culverts agree on ESN; a peer that is not configured for it, as strongSwan is not unless
// told to, picks the other from the same proposal. A peer that accepts ESN and then fails for want of it has to be offered "noesn" alone.
func DefaultESPProposals() []wire.Proposal {
	return parsed(ParseESPProposal, "aes128gcm16-aes256gcm16-aes192gcm16-chacha20poly1305-esn-noesn")
}

// parsed reads proposals of our own and numbers them.
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
