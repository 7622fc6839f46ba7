package ike

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"culvert/ike/certificate"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// hell makes the certificates and proofs of an adversary that has an authority's help, but not that
// of the root.
type hell struct {
	*certified
	t      *testing.T
	key    *ecdsa.PrivateKey // of a certificate that is good for left
	stolen *wire.Auth        // the genuine AUTH of another IKE SA
}

// x509Certs returns CERT payloads.
func x509Certs(ders ...[]byte) (ps []wire.Payload) {
	for _, der := range ders {
		ps = append(ps, &wire.Cert{Encoding: wire.CertX509Signature, Data: der})
	}
	return ps
}

func raws(certs ...*x509.Certificate) (ders [][]byte) {
	for _, c := range certs {
		ders = append(ders, c.Raw)
	}
	return ders
}

// sign returns the AUTH of a key, as it should be.
func (h *hell) sign(key crypto.Signer, octets []byte) *wire.Auth {
	auth, err := certificate.Sign(key, octets, certificate.Announced([]wire.Payload{certificate.Announcement()}), certificate.Methods{}, certificate.Preferences{})
	if err != nil {
		h.t.Fatal(err)
	}
	return auth
}

// below returns the key of a certificate for left and its chain, by an authority of its own. The
// templates of both may be edited.
func (h *hell) below(ca, leaf func(c *x509.Certificate)) (crypto.Signer, [][]byte) {
	authority := certtest.CA(h.t, "hell", "p256", h.root, ca)
	tmpl := certtest.Template("left", "left.example.com")
	if leaf != nil {
		leaf(tmpl)
	}
	made := certtest.Sign(h.t, tmpl, certtest.Key(h.t, "p256"), authority)
	return made.Key, raws(made.Chain()...)
}

// tbs is a TBSCertificate (RFC 5280, Section 4.1) whose parts need not be what they should.
type tbs struct {
	Version            int `asn1:"explicit,tag:0"`
	Serial             *big.Int
	Algorithm          pkix.AlgorithmIdentifier
	Issuer, Time, Name asn1.RawValue
	Key                asn1.RawValue
	Extensions         []pkix.Extension `asn1:"explicit,tag:3"`
}

// withKey returns the certificate of left with another SubjectPublicKeyInfo, signed by the
// authority that made it.
func (h *hell) withKey(spki []byte) []byte {
	var c struct {
		TBS       tbs
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	h.must(asn1.Unmarshal(h.left.Cert.Raw, &c))
	c.TBS.Key = asn1.RawValue{FullBytes: spki}
	inner, err := asn1.Marshal(c.TBS)
	h.must(nil, err)
	digest := sha256.Sum256(inner)
	sig, err := h.lower.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	h.must(nil, err)
	c.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	der, err := asn1.Marshal(c)
	h.must(nil, err)
	return der
}

func (h *hell) must(_ any, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// chainOf returns a leaf's DER with the certificates above it.
func (h *hell) chainOf(leaf []byte) [][]byte {
	return append([][]byte{leaf}, raws(h.left.Chain()[1:]...)...)
}

// A hellish proof is what the adversary sends as CERT and AUTH for the octets that it should sign.
type hellish func(h *hell, octets []byte) []wire.Payload

// chained is a proof by a chain and its key.
func chained(make func(h *hell) (crypto.Signer, [][]byte)) hellish {
	return func(h *hell, octets []byte) []wire.Payload {
		key, ders := make(h)
		return append(x509Certs(ders...), h.sign(key, octets))
	}
}

// keyed is a proof by the genuine chain with another key in its leaf, and a signature for it.
func keyed(spki func(h *hell) []byte, id, sig []byte) hellish {
	return func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(h.chainOf(h.withKey(spki(h)))...), digitalAuth(id, sig))
	}
}

// authed is a proof by the genuine chain with another AUTH.
func authed(auth func(h *hell, octets []byte) *wire.Auth) hellish {
	return func(h *hell, octets []byte) []wire.Payload {
		return append(x509Certs(h.chainOf(h.left.Cert.Raw)...), auth(h, octets))
	}
}

// digitalAuth is an AUTH of RFC 7427 with an AlgorithmIdentifier and a signature.
func digitalAuth(id, sig []byte) *wire.Auth {
	return &wire.Auth{Method: wire.AuthDigitalSignature, Data: slices.Concat([]byte{byte(len(id))}, id, sig)}
}

// AlgorithmIdentifiers in DER.
var (
	idECDSA256 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}
	idEd25519  = []byte{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}
	idRSA256   = []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0}
	idPSS      = []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 0}
	idHugeSalt = slices.Concat([]byte{0x30, 0x17}, idPSS[2:13], []byte{0x30, 0x08, 0xa2, 0x06, 0x02, 0x04, 0x7f, 0xff, 0xff, 0xff})
)

// spkiOfRSA returns an RSA key of some bits, whose private key nobody has.
func spkiOfRSA(bits, exponent int, even bool) func(h *hell) []byte {
	return func(h *hell) []byte {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		if !even {
			n.SetBit(n, 0, 1)
		}
		return certtest.SPKI(h.t, &rsa.PublicKey{N: n, E: exponent})
	}
}

// spkiOfEd25519 returns an Ed25519 key whose octets are given, the others 0.
func spkiOfEd25519(octets ...byte) func(h *hell) []byte {
	return func(h *hell) []byte {
		key := make(ed25519.PublicKey, ed25519.PublicKeySize)
		copy(key, octets)
		return certtest.SPKI(h.t, key)
	}
}

// identitySig is an Ed25519 signature that a key of the neutral point verifies for every message.
var identitySig = append([]byte{1}, make([]byte, 63)...)
