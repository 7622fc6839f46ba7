package keyfile

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

func TestLoadCRLs(t *testing.T) {
	key := sampleKeys()["p256"]
	ca := certify(t, key, "ca", func(c *x509.Certificate) { c.KeyUsage, c.SubjectKeyId = x509.KeyUsageCRLSign, []byte{1} })
	list := func(extensions ...pkix.Extension) []byte {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), NextUpdate: time.Unix(3e9, 0), ExtraExtensions: extensions,
		}, ca, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	good := list()
	delta := list(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}})
	for name, c := range map[string]struct {
		data []byte
		n    int
		want string
	}{
		"PEM":         {block("X509 CRL", good), 1, ""},
		"DER":         {good, 1, ""},
		"several":     {append(block("X509 CRL", good), block("X509 CRL", good)...), 2, ""},
		"certificate": {ca.Raw, 0, "holds a certificate, not a certificate revocation list; name the file that holds a certificate revocation list"},
		"key":         {spki(t, key.Public()), 0, "holds a public key, not a certificate revocation list; name the file that holds a certificate revocation list"},
		"delta":       {block("X509 CRL", delta), 0, "is a delta CRL, which is not supported; name the complete one"},
	} {
		path := write(t, "crl", c.data)
		got, err := LoadCRLs(path)
		if c.want != "" {
			wantError(t, err, path, c.want)
		} else if err != nil || len(got) != c.n || got[0].Issuer() != "CN=ca" {
			t.Errorf("%s: %d CRLs, %v", name, len(got), err)
		}
	}
}
