package certificate

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

func certPayloads(certs ...*x509.Certificate) (ps []wire.Payload) {
	for _, c := range certs {
		ps = append(ps, &wire.Cert{Encoding: wire.CertX509Signature, Data: c.Raw})
	}
	return ps
}

func TestParseSent(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	middle := certtest.CA(t, "middle", "p256", root)
	leaf := middle.Issue(t, "leaf", "p256", "leaf.example.com")
	raw := certtest.SPKI(t, leaf.Key.Public())
	ps := append(certPayloads(leaf.Cert, middle.Cert, leaf.Cert, middle.Cert),
		&wire.Notify{Kind: wire.Cookie},
		&wire.Cert{Encoding: wire.CertCRL, Data: []byte("a list")},
		&wire.Cert{Encoding: wire.CertPKCS7, Data: []byte("unknown")},
		&wire.Cert{Encoding: 200},
		&wire.Cert{Encoding: wire.CertOCSPContent, Data: []byte("a response")},
		&wire.Cert{Encoding: wire.CertRawPublicKey, Data: raw})
	s, err := ParseSent(ps)
	if err != nil || !s.Leaf.Equal(leaf.Cert) || len(s.Intermediates) != 1 || !s.Intermediates[0].Equal(middle.Cert) ||
		!equal(s.RawKey, leaf.Key.Public()) || len(s.Stapled) != 1 || string(s.Stapled[0]) != "a response" {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = ParseSent(nil)
	if err != nil || s.Leaf != nil || s.RawKey != nil || !strings.Contains(s.Missing().Error(), "it sends no certificate") {
		t.Errorf("nothing: %+v, %v", s, err)
	}
}

// What is not read is named, and nothing of it is fetched or parsed. A certificate beside it
// counts.
func TestEncodingsThatAreNotRead(t *testing.T) {
	leaf := certtest.CA(t, "root", "ed25519", nil).Issue(t, "leaf", "ed25519")
	for encoding, want := range map[wire.CertEncoding]string{
		wire.CertHashURLX509:   "it sends its certificate as hash and URL, which is not fetched; have it send the certificate itself",
		wire.CertHashURLBundle: "it sends its certificate as hash and URL, which is not fetched; have it send the certificate itself",
		wire.CertPKCS7:         `it sends its certificate or key as "PKCS #7 wrapped X.509 certificate", which is not supported; have it send an X.509 certificate, or a raw public key of RFC 7670`,
		wire.CertPGP:           `as "PGP Certificate", which is not supported`,
		wire.CertDNSSigned:     `as "DNS Signed Key", which is not supported`,
		wire.CertSPKI:          `which is not supported`,
		wire.CertOCSPContent:   "it sends no certificate; have it send one, or set remote_key to its public key",
		99:                     "it sends no certificate",
	} {
		other := &wire.Cert{Encoding: encoding, Data: []byte("....................http://192.0.2.1/")}
		s, err := ParseSent([]wire.Payload{other})
		if err != nil || s.Leaf != nil || s.RawKey != nil || !strings.Contains(s.Missing().Error(), want) {
			t.Errorf("%v: %+v, %v, %v", encoding, s, err, s.Missing())
		}
		if s, err = ParseSent([]wire.Payload{other, &wire.Cert{Encoding: wire.CertX509Signature, Data: leaf.Cert.Raw}}); err != nil || s.Leaf == nil {
			t.Errorf("%v beside a certificate: %+v, %v", encoding, s, err)
		}
	}
}

func TestSentIsBounded(t *testing.T) {
	leaf := certtest.CA(t, "root", "ed25519", nil).Issue(t, "leaf", "ed25519")
	big := certtest.Template("big")
	for range 1500 {
		big.DNSNames = append(big.DNSNames, "a name of some length.example.com")
	}
	huge := certtest.Sign(t, big, leaf.Key, nil)
	short := *leaf.Cert
	short.Raw = short.Raw[:len(short.Raw)-1]
	raw := &wire.Cert{Encoding: wire.CertRawPublicKey, Data: certtest.SPKI(t, leaf.Key.Public())}
	weak, err := x509.MarshalPKIXPublicKey(rsaOf(1024, 65537))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		ps   []wire.Payload
		want string
	}{
		"six":            {certPayloads(leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert), ""},
		"seven":          {certPayloads(leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert, leaf.Cert), "more than 6 certificates"},
		"octets":         {certPayloads(huge.Cert), "more than 32768 octets"},
		"a part":         {certPayloads(leaf.Cert, &short), "its certificate 2 is malformed"},
		"two keys":       {[]wire.Payload{raw, raw}, "one of several"},
		"a short key":    {[]wire.Payload{&wire.Cert{Encoding: wire.CertRawPublicKey, Data: weak}}, "unsupported kind"},
		"a key in parts": {[]wire.Payload{&wire.Cert{Encoding: wire.CertRawPublicKey, Data: raw.Data[1:]}}, "malformed"},
	} {
		_, err := ParseSent(tt.ps)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	var many []wire.Payload
	for range 10 {
		many = append(many, &wire.Cert{Encoding: wire.CertOCSPContent, Data: []byte("a response")})
	}
	if s, err := ParseSent(many); err != nil || len(s.Stapled) != maxStapled {
		t.Errorf("%d responses are kept, %v", len(s.Stapled), err)
	}
}

// The keys of all certificates are checked before any is used, also of one that no chain needs.
func TestSentKeysAreChecked(t *testing.T) {
	leaf := certtest.CA(t, "root", "ed25519", nil).Issue(t, "leaf", "ed25519")
	weak := certtest.Sign(t, certtest.Template("weak\x1b[2J"), leaf.Key, &certtest.Pair{Cert: leaf.Cert, Key: leaf.Key})
	swap := func(bits int) *x509.Certificate {
		c := certtest.Template("weak\x1b[2J")
		der, err := x509.CreateCertificate(nil, c, leaf.Cert, rsaOf(bits, 65537), leaf.Key)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	for _, bits := range []int{1024, 16384} {
		_, err := ParseSent(certPayloads(leaf.Cert, weak.Cert, swap(bits)))
		if err == nil || !strings.Contains(err.Error(), "its certificate 3 (O=Example, CN=weak\\x1b[2J) has an RSA key of") {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	// id-ecPublicKey becomes an OID of nothing.
	odd := patched(t, root256(t), "\x2a\x86\x48\xce\x3d\x02\x01", "\x2a\x86\x48\xce\x3d\x02\x09")
	if _, err := ParseSent(certPayloads(leaf.Cert, odd)); err == nil || !strings.Contains(err.Error(), "its certificate 2 (O=Example, CN=root) has a key of an unsupported kind") {
		t.Errorf("an unknown algorithm: %v", err)
	}
}

func root256(t *testing.T) *x509.Certificate {
	t.Helper()
	return certtest.CA(t, "root", "p256", nil).Cert
}

func TestKindOf(t *testing.T) {
	root := certtest.CA(t, "root", "ed25519", nil)
	leaf := root.Issue(t, "leaf", "p384")
	ps := append([]wire.Payload{&wire.Cert{Encoding: wire.CertCRL}}, certPayloads(leaf.Cert, root.Cert)...)
	if got := KindOf(ps); got != "ECDSA P-384" {
		t.Errorf("%q", got)
	}
	bad := &wire.Cert{Encoding: wire.CertX509Signature, Data: []byte("no certificate")}
	if got := KindOf(append([]wire.Payload{bad}, ps...)) + KindOf(nil); got != "" {
		t.Errorf("%q", got)
	}
	if !IsRoot(root.Cert) || IsRoot(leaf.Cert) || IsRoot(certtest.CA(t, "below", "p256", root).Cert) || IsRoot(certtest.Sign(t, certtest.Template("self"), leaf.Key, nil).Cert) {
		t.Error("a root is not told from others")
	}
}

// patched returns a certificate with other octets of the same number in it. It is not signed.
func patched(t *testing.T, c *x509.Certificate, old, by string) *x509.Certificate {
	t.Helper()
	der := bytes.Replace(c.Raw, []byte(old), []byte(by), 1)
	if bytes.Equal(der, c.Raw) || len(old) != len(by) {
		t.Fatalf("%q is not in the certificate", old)
	}
	return &x509.Certificate{Raw: der}
}
