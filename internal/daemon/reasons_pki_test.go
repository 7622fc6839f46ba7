package daemon

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// The files of the tests of certificates: who.crt and who.key of the side that has a certificate,
// root.crt of the authority that the other side trusts.

// withCert and wantCert are the keys of the side that proves itself by a certificate, and of the
// other one.
var (
	withCert = keys{"auth": `"cert"`, "remote_auth": `"psk"`, "cert": `"DIR/who.crt"`, "key": `"DIR/who.key"`}
	wantCert = keys{"auth": `"psk"`, "remote_auth": `"cert"`, "ca": `"DIR/root.crt"`}
)

// both are the names for which the certificate is: either side may have it.
var both = []string{"left.example.com", "right.example.com"}

// A chainOf makes the certificate of a side below an authority that the other side trusts.
type chainOf func(t *testing.T, root *certtest.Pair) *certtest.Pair

// pki returns the files of a chain, with what more adds.
func pki(make chainOf, more ...func(t *testing.T, root, who *certtest.Pair, files map[string][]byte)) func(t *testing.T) map[string][]byte {
	return func(t *testing.T) map[string][]byte {
		root := certtest.CA(t, "root", "p256", nil)
		who := make(t, root)
		files := map[string][]byte{
			"root.crt": certtest.PEM(root.Cert), "who.crt": certtest.PEM(who.Chain()...), "who.key": certtest.KeyPEM(t, who.Key),
		}
		for _, f := range more {
			f(t, root, who, files)
		}
		return files
	}
}

func leaf(t *testing.T, by *certtest.Pair, edit func(c *x509.Certificate)) *certtest.Pair {
	c := certtest.Template("who", both...)
	edit(c)
	return certtest.Sign(t, c, certtest.Key(t, "p256"), by)
}

func day(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }

func good(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, certtest.CA(t, "middle", "p256", root), func(*x509.Certificate) {})
}

func expired(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, root, certtest.Validity(day(2024, 1, 1), day(2024, 12, 1)))
}

func early(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, root, certtest.Validity(day(2025, 2, 1), day(2026, 1, 1)))
}

func strange(t *testing.T, _ *certtest.Pair) *certtest.Pair {
	return leaf(t, certtest.CA(t, "stranger", "p256", nil), func(*x509.Certificate) {})
}

func misnamed(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return root.Issue(t, "who", "p256", "another.example.com")
}

func usage(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
}

func client(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

func constrained(t *testing.T, root *certtest.Pair) *certtest.Pair {
	narrow := certtest.CA(t, "narrow", "p256", root, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.org"} })
	return leaf(t, narrow, func(*x509.Certificate) {})
}

func long(t *testing.T, root *certtest.Pair) *certtest.Pair {
	short := certtest.CA(t, "short", "p256", root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	return leaf(t, certtest.CA(t, "below", "p256", short), func(*x509.Certificate) {})
}

func notCA(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, root.Issue(t, "middle", "p256"), func(*x509.Certificate) {})
}

func forged(t *testing.T, _ *certtest.Pair) *certtest.Pair {
	return leaf(t, certtest.CA(t, "root", "p256", nil), func(*x509.Certificate) {})
}

func oldRoot(t *testing.T, root *certtest.Pair) *certtest.Pair {
	old := certtest.CA(t, "middle", "p256", root, certtest.Validity(day(2020, 1, 1), day(2024, 6, 1)))
	return leaf(t, old, func(*x509.Certificate) {})
}

func direct(t *testing.T, root *certtest.Pair) *certtest.Pair {
	return leaf(t, root, func(*x509.Certificate) {})
}

// revoked adds a CRL of the authority that revokes the certificate.
func revoked(t *testing.T, root, who *certtest.Pair, files map[string][]byte) {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: day(2024, 12, 31), NextUpdate: day(2025, 2, 1),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: who.Cert.SerialNumber, RevocationTime: day(2024, 12, 24), ReasonCode: 1}},
	}, root.Cert, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	files["root.crl"] = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// proves has the adversary prove itself by what make returns for the octets to sign.
func proves(make func(octets []byte) []wire.Payload) func(*rogue) {
	return func(r *rogue) { r.Prove = make }
}

func certOf(der []byte) wire.Payload { return &wire.Cert{Encoding: wire.CertX509Signature, Data: der} }

// selfSigned returns the payloads of a certificate of a key, and a signature by it.
func selfSigned(key crypto.Signer, octets []byte) []wire.Payload {
	c := certtest.Template("who", both...)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	auth, err := certificate.Sign(key, octets, 1<<certificate.SHA256|1<<certificate.Identity, certificate.Methods{}, certificate.Preferences{})
	if err != nil {
		panic(err)
	}
	return []wire.Payload{certOf(der), auth}
}

func weakKey([]byte) []wire.Payload {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	c := certtest.Template("who", both...)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return []wire.Payload{certOf(der), &wire.Auth{Method: wire.AuthRSASignature, Data: make([]byte, 128)}}
}

// signed has the adversary announce RFC 7427 as well.
func signed(make func(octets []byte) []wire.Payload) func(*rogue) {
	return func(r *rogue) { r.Prove, r.Extra = make, []wire.Payload{certificate.Announcement()} }
}

func wrongSignature(octets []byte) []wire.Payload {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return selfSigned(key, append(octets, 0))
}

func malformed([]byte) []wire.Payload {
	return []wire.Payload{certOf([]byte{1, 2, 3}), &wire.Auth{Method: wire.AuthRSASignature, Data: make([]byte, 128)}}
}

func nothing([]byte) []wire.Payload {
	return []wire.Payload{&wire.Auth{Method: wire.AuthRSASignature, Data: make([]byte, 128)}}
}
