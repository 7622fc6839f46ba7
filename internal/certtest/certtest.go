// Package certtest makes certification authorities, certificates and keys for tests, in memory and
// as files.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Start is when certificates begin to be valid, unless told otherwise; they are so for 20 years.
// The virtual clocks of tests and the time of this host lie within.
var Start = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// A Pair is a certificate and its key, with the certificates above it, the root last.
type Pair struct {
	Cert  *x509.Certificate
	Key   crypto.Signer
	Above []*x509.Certificate
}

var serial atomic.Int64

// Key returns a new key: "rsa2048" or with another number of bits, "p256", "p384", "p521" or
// "ed25519". RSA keys of 2048 and 3072 bits, which take long to make, are five known ones in turn.
func Key(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		var bits int
		if _, err = fmt.Sscanf(kind, "rsa%d", &bits); err == nil {
			key, err = rsaKey(bits)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

//go:embed rsa.pem
var rsaPEM []byte

// rsaKeys are the keys of rsa.pem by their size, five of each.
var rsaKeys = sync.OnceValue(func() map[int][]crypto.Signer {
	keys := map[int][]crypto.Signer{}
	for block, rest := pem.Decode(rsaPEM); block != nil; block, rest = pem.Decode(rest) {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			k := key.(*rsa.PrivateKey)
			keys[k.N.BitLen()] = append(keys[k.N.BitLen()], k)
		}
	}
	return keys
})

var rsaNext atomic.Int64

// rsaKey returns one of the keys of a size in turn, or a new one if there are none.
func rsaKey(bits int) (crypto.Signer, error) {
	if list := rsaKeys()[bits]; len(list) > 0 {
		return list[int(rsaNext.Add(1))%len(list)], nil
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// Template returns the template of a certificate. The name is its subject's common name, and the
// alternative names are told by their form: an address, a mail address or a name.
func Template(name string, alternatives ...string) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), NotBefore: Start, NotAfter: Start.AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if name != "" {
		c.Subject = pkix.Name{CommonName: name, Organization: []string{"Example"}}
	}
	for _, a := range alternatives {
		switch ip := net.ParseIP(a); {
		case ip != nil:
			c.IPAddresses = append(c.IPAddresses, ip)
		case strings.Contains(a, "@"):
			c.EmailAddresses = append(c.EmailAddresses, a)
		default:
			c.DNSNames = append(c.DNSNames, a)
		}
	}
	return c
}

// CA returns a new authority with a key of the kind that signs itself, or that by signs.
func CA(t testing.TB, name, kind string, by *Pair, edit ...func(*x509.Certificate)) *Pair {
	t.Helper()
	c := Template(name)
	c.KeyUsage, c.IsCA = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, true
	for _, f := range edit {
		f(c)
	}
	return Sign(t, c, Key(t, kind), by)
}

// Issue returns a certificate of the authority for alternative names, with a key of the kind.
func (p *Pair) Issue(t testing.TB, name, kind string, alternatives ...string) *Pair {
	t.Helper()
	return Sign(t, Template(name, alternatives...), Key(t, kind), p)
}

// Sign returns the certificate of a template for a key, by an authority, or by itself if by is nil.
func Sign(t testing.TB, c *x509.Certificate, key crypto.Signer, by *Pair) *Pair {
	t.Helper()
	parent, signer, above := c, key, []*x509.Certificate(nil)
	if by != nil {
		parent, signer, above = by.Cert, by.Key, append([]*x509.Certificate{by.Cert}, by.Above...)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Pair{Cert: made, Key: key, Above: above}
}

// Chain returns the certificate and those above it that are to be sent: all but the root.
func (p *Pair) Chain() []*x509.Certificate {
	chain := append([]*x509.Certificate{p.Cert}, p.Above...)
	return chain[:max(len(chain)-1, 1)]
}

// Validity has a template be valid from one time to another.
func Validity(from, to time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// PEM returns certificates in PEM.
func PEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// KeyPEM returns a private key in PEM, as PKCS #8.
func KeyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// PublicPEM returns a public key in PEM.
func PublicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: SPKI(t, key)})
}

// SPKI returns a SubjectPublicKeyInfo in DER.
func SPKI(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Write writes name.crt with the chain, and name.key, into a folder, for their owner only.
func (p *Pair) Write(t testing.TB, dir, name string) {
	t.Helper()
	for file, data := range map[string][]byte{name + ".crt": PEM(p.Chain()...), name + ".key": KeyPEM(t, p.Key)} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// DirectoryNameConstraint returns name constraints, which package x509 does not make: they permit
// subjects below a distinguished name, or exclude them.
func DirectoryNameConstraint(t testing.TB, name pkix.Name, excluded, critical bool) pkix.Extension {
	t.Helper()
	base, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	which := 0
	if excluded {
		which = 1
	}
	wrap := func(class, tag int, inner []byte) []byte {
		der, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: inner})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	tree := wrap(asn1.ClassUniversal, asn1.TagSequence, wrap(asn1.ClassContextSpecific, 4, base))
	value := wrap(asn1.ClassUniversal, asn1.TagSequence, wrap(asn1.ClassContextSpecific, which, tree))
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: critical, Value: value}
}
