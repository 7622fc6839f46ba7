package revocation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// now is the time of the tests.
var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// An authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue returns a certificate of the given name, signed by a, or by itself if a is nil.
func (a *authority) issue(t testing.TB, name string, serial int64, change func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(template)
	}
	made := &authority{key: key}
	if a == nil {
		a = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

// asCA makes a template one of a CA.
func asCA(c *x509.Certificate) {
	c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	c.SubjectKeyId = []byte(c.Subject.CommonName)
}

// crlOf returns a CRL of a CA, which lists the certificates with these serial numbers.
func (a *authority) crlOf(t testing.TB, change func(*x509.RevocationList), serials ...int64) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(s), RevocationTime: now.Add(-2 * time.Hour), ReasonCode: 1,
		})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// answers returns an OCSP response of a CA about a certificate, signed by a responder, or by the CA
// itself if that is nil.
func (a *authority) answers(t testing.TB, cert *x509.Certificate, by *authority, change func(*ocsp.Response)) []byte {
	t.Helper()
	template := ocsp.Response{Status: ocsp.Good, SerialNumber: cert.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	signer := a
	if by != nil {
		signer, template.Certificate = by, by.cert
	}
	if change != nil {
		change(&template)
	}
	der, err := ocsp.CreateResponse(a.cert, signer.cert, template, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// wantAnswer checks what was found of a certificate.
func wantAnswer(t *testing.T, got Answer, err error, status Status, reason string) {
	t.Helper()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if got.Status != status || text != reason {
		t.Errorf("got  %v, %q\nwant %v, %q", got, text, status, reason)
	}
}
