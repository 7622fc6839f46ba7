package certificate

import (
	"crypto"
	_ "crypto/sha1" // of method 1 and CERTREQ; see Preferences.SHA1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/binary"

	"culvert/ike/wire"
)

// A Hash is a hash algorithm of SIGNATURE_HASH_ALGORITHMS (RFC 7427, Section 4).
type Hash uint16

// Values of Hash (IANA "IKEv2 Hash Algorithms").
const (
	SHA1     Hash = 1
	SHA256   Hash = 2
	SHA384   Hash = 3
	SHA512   Hash = 4
	Identity Hash = 5 // RFC 8420: the signature algorithm hashes by itself
)

// supported are the hashes that are announced and accepted with Digital Signature. SHA-1 "MUST NOT"
// be (RFC 8247, Section 3.2).
var supported = []Hash{SHA256, SHA384, SHA512, Identity}

// function returns the hash function; 0 for Identity.
func (h Hash) function() crypto.Hash {
	return map[Hash]crypto.Hash{SHA1: crypto.SHA1, SHA256: crypto.SHA256, SHA384: crypto.SHA384, SHA512: crypto.SHA512}[h]
}

// of returns what is signed of a message: its digest, or all of it with Identity.
func (h Hash) of(message []byte) []byte {
	f := h.function()
	if f == 0 {
		return message
	}
	sum := f.New()
	sum.Write(message)
	return sum.Sum(nil)
}

// String returns the IANA name.
func (h Hash) String() string {
	return map[Hash]string{SHA1: "SHA1", SHA256: "SHA2-256", SHA384: "SHA2-384", SHA512: "SHA2-512", Identity: "Identity"}[h]
}

// Hashes is a set of hash algorithms. The zero value means that RFC 7427 is not supported;
// otherwise the reserved hash 0 is among them.
type Hashes uint8

// Has reports whether a hash algorithm is in the set.
func (s Hashes) Has(h Hash) bool { return h < 8 && s>>h&1 != 0 }

// Announcement returns our SIGNATURE_HASH_ALGORITHMS.
func Announcement() *wire.Notify {
	var data []byte
	for _, h := range supported {
		data = binary.BigEndian.AppendUint16(data, uint16(h))
	}
	return &wire.Notify{Kind: wire.SignatureHashAlgorithms, Data: data}
}

// Announced returns the supported hash algorithms that a message of IKE_SA_INIT announces: those
// that the sender accepts with Digital Signature. It is zero without SIGNATURE_HASH_ALGORITHMS, or
// with one that is malformed.
func Announced(ps []wire.Payload) (s Hashes) {
	n, ok := wire.FindNotify(ps, wire.SignatureHashAlgorithms)
	if !ok || len(n.Data)%2 != 0 {
		return 0
	}
	s = 1
	for i := 0; i < len(n.Data); i += 2 {
		for _, h := range supported {
			if h == Hash(binary.BigEndian.Uint16(n.Data[i:])) {
				s |= 1 << h
			}
		}
	}
	return s
}
