package fetch

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"sync"
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

// issue returns a certificate signed by a, or by itself if a is nil.
func (a *authority) issue(t testing.TB, name string, serial int64, change func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), CRLDistributionPoints: []string{"http://ca/crl"},
	}
	if change != nil {
		change(template)
	}
	if a == nil {
		template.IsCA, template.KeyUsage, template.SubjectKeyId = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, []byte{1}
		a = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// A pki is a CA with a server, and a certificate of it.
type pki struct {
	ca, leaf *authority
	server   *server
	revoked  []x509.RevocationListEntry
}

// newPKI returns a CA whose server answers at http://ca/crl and http://ca/ocsp that leaf, which has
// serial number 7, is good. change changes the template of leaf.
func newPKI(t testing.TB, change func(*x509.Certificate)) *pki {
	t.Helper()
	var none *authority
	p := &pki{ca: none.issue(t, "ca", 1, nil), server: &server{paths: make(map[string][]byte)}}
	p.leaf = p.ca.issue(t, "leaf", 7, change)
	p.server.paths["/crl"] = p.crl(t)
	p.server.paths["/ocsp"] = p.ocsp(t, ocsp.Good)
	return p
}

// revoke has the CRL list a certificate.
func (p *pki) revoke(t testing.TB, a *authority) {
	p.revoked = append(p.revoked, x509.RevocationListEntry{SerialNumber: a.cert.SerialNumber, RevocationTime: now})
	p.server.paths["/crl"] = p.crl(t)
}

func (p *pki) crl(t testing.TB) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 1), RevokedCertificateEntries: p.revoked,
	}, p.ca.cert, p.ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// ocsp returns a response about leaf.
func (p *pki) ocsp(t testing.TB, status int) []byte {
	t.Helper()
	der, err := ocsp.CreateResponse(p.ca.cert, p.ca.cert, ocsp.Response{
		Status: status, SerialNumber: p.leaf.cert.SerialNumber, ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 1), RevokedAt: now,
	}, p.ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// chain returns the chain of leaf.
func (p *pki) chain() []*x509.Certificate { return []*x509.Certificate{p.leaf.cert, p.ca.cert} }

// A server is a transport that answers from a map.
type server struct {
	mu    sync.Mutex
	paths map[string][]byte
	calls int
}

// RoundTrip implements http.RoundTripper.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if data, ok := s.paths[r.URL.Path]; ok {
		return response(200, data), nil
	}
	return response(404, nil), nil
}

func response(status int, body []byte) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
}

// roundTrip is a function as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
