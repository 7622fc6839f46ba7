package certificate

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A kind is a signature algorithm without its hash.
type kind uint8

const (
	pkcs1   kind = iota + 1 // RSASSA-PKCS1-v1_5
	pss                     // RSASSA-PSS, with MGF1 of the same hash and a salt of its length
	dsaOnEC                 // ECDSA, the signature in ASN.1
	eddsa                   // Ed25519
)

func (k kind) String() string {
	return map[kind]string{pkcs1: "RSASSA-PKCS1-v1_5", pss: "RSASSA-PSS", dsaOnEC: "ECDSA", eddsa: "Ed25519"}[k]
}

// An algorithm is what an AlgorithmIdentifier of Digital Signature names. It is comparable.
type algorithm struct {
	kind kind
	hash Hash
}

func (a algorithm) String() string {
	if a.kind == eddsa {
		return a.kind.String()
	}
	return a.kind.String() + " with " + a.hash.String()
}

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// named are the algorithms whose OID says all, and whose parameters are either NULL or absent.
var named = []struct {
	algorithm
	oid  asn1.ObjectIdentifier
	null bool // the parameters are NULL; RFC 4055, Section 5 has absent ones accepted as well
}{
	{algorithm{pkcs1, SHA1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, true},
	{algorithm{pkcs1, SHA256}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, true},
	{algorithm{pkcs1, SHA384}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, true},
	{algorithm{pkcs1, SHA512}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, true},
	{algorithm{dsaOnEC, SHA1}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, false},
	{algorithm{dsaOnEC, SHA256}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, false},
	{algorithm{dsaOnEC, SHA384}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, false},
	{algorithm{dsaOnEC, SHA512}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, false},
	{algorithm{eddsa, Identity}, asn1.ObjectIdentifier{1, 3, 101, 112}, false}, // RFC 8420, Appendix A.1
}

// hashOIDs are the hashes as RSASSA-PSS-params names them (RFC 4055, Section 2.1).
var hashOIDs = map[Hash]asn1.ObjectIdentifier{
	SHA1:   {1, 3, 14, 3, 2, 26},
	SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// identifier returns the AlgorithmIdentifier in DER. The trailerField of RSASSA-PSS, which has its
// default, is omitted, as DER demands; the example of RFC 7427, Appendix A.4.3 has it.
func (a algorithm) identifier() []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if a.kind == pss {
			b.AddASN1ObjectIdentifier(oidPSS)
			b.AddASN1(casn1.SEQUENCE, a.addParameters)
			return
		}
		for _, n := range named {
			if n.algorithm == a {
				addOID(b, n.oid, n.null)
			}
		}
	})
	return b.BytesOrPanic()
}

func addOID(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, null bool) {
	b.AddASN1ObjectIdentifier(oid)
	if null {
		b.AddASN1NULL()
	}
}

// addParameters adds the content of RSASSA-PSS-params.
func (a algorithm) addParameters(b *cryptobyte.Builder) {
	hash := func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, hashOIDs[a.hash], true) })
	}
	b.AddASN1(field(0), hash)
	b.AddASN1(field(1), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidMGF1)
			hash(b)
		})
	})
	b.AddASN1(field(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(a.hash.function().Size())) })
}

// field returns the tag of a field with an explicit tag.
func field(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }

var errIdentifier = errors.New("the AlgorithmIdentifier of its signature is malformed")

// parseIdentifier returns the algorithm of an AlgorithmIdentifier. It must be DER with nothing
// behind it, and name an algorithm of ours with parameters of the right form: what is ignored in
// one may serve to forge a signature.
func parseIdentifier(der []byte) (algorithm, error) {
	input := cryptobyte.String(der)
	var id cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !input.ReadASN1(&id, casn1.SEQUENCE) || !input.Empty() || !id.ReadASN1ObjectIdentifier(&oid) {
		return algorithm{}, errIdentifier
	}
	if oid.Equal(oidPSS) {
		return parsePSS(id)
	}
	for _, n := range named {
		if !n.oid.Equal(oid) {
			continue
		}
		if !id.Empty() && (!n.null || !readNULL(&id)) || !id.Empty() {
			return algorithm{}, errIdentifier
		}
		return n.algorithm, nil
	}
	return algorithm{}, fmt.Errorf("its signature is of an algorithm that is not supported (OID %v)", oid)
}

func readNULL(s *cryptobyte.String) bool {
	var null cryptobyte.String
	return s.ReadASN1(&null, casn1.NULL) && null.Empty()
}

// parsePSS parses RSASSA-PSS-params, which must be present (RFC 4055, Section 3.1). Absent fields
// have defaults of SHA-1, which is not supported. The trailerField may be there with its default.
func parsePSS(id cryptobyte.String) (algorithm, error) {
	var params, hash, mgf, salt, trailer cryptobyte.String
	var hasHash, hasMGF, hasSalt, hasTrailer bool
	if !id.ReadASN1(&params, casn1.SEQUENCE) || !id.Empty() ||
		!params.ReadOptionalASN1(&hash, &hasHash, field(0)) || !params.ReadOptionalASN1(&mgf, &hasMGF, field(1)) ||
		!params.ReadOptionalASN1(&salt, &hasSalt, field(2)) || !params.ReadOptionalASN1(&trailer, &hasTrailer, field(3)) || !params.Empty() {
		return algorithm{}, errIdentifier
	}
	if !hasHash || !hasMGF || !hasSalt {
		return algorithm{}, errors.New("its signature is RSASSA-PSS with SHA1, which is not accepted; have the peer sign with SHA2-256")
	}
	h, ok := readHash(&hash)
	if !ok || !hash.Empty() {
		return algorithm{}, errIdentifier
	}
	if !isMGF1(mgf, h) {
		return algorithm{}, errors.New("its signature is RSASSA-PSS with another mask generation function than MGF1 of its hash")
	}
	var length, one int64
	if !salt.ReadASN1Integer(&length) || !salt.Empty() || hasTrailer && (!trailer.ReadASN1Integer(&one) || !trailer.Empty() || one != 1) {
		return algorithm{}, errIdentifier
	}
	if length != int64(h.function().Size()) {
		return algorithm{}, fmt.Errorf("its signature is RSASSA-PSS with a salt of %d octets; have the peer use the length of the hash", length)
	}
	return algorithm{pss, h}, nil
}

// readHash reads the AlgorithmIdentifier of a hash, whose parameters are NULL or absent.
func readHash(s *cryptobyte.String) (Hash, bool) {
	var id cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&id, casn1.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) || !id.Empty() && !readNULL(&id) || !id.Empty() {
		return 0, false
	}
	for h, known := range hashOIDs {
		if known.Equal(oid) {
			return h, true
		}
	}
	return 0, false
}

// isMGF1 reports whether the content of a maskGenAlgorithm is MGF1 with the hash.
func isMGF1(s cryptobyte.String, want Hash) bool {
	var id cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&id, casn1.SEQUENCE) || !s.Empty() || !id.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidMGF1) {
		return false
	}
	h, ok := readHash(&id)
	return ok && h == want && id.Empty()
}
