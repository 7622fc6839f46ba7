package revocation

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// asResponder makes a template one of an OCSP responder.
func asResponder(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
}

func TestOCSP(t *testing.T) {
	var none *authority
	ca, other := none.issue(t, "ca", 1, asCA), none.issue(t, "other", 1, asCA)
	leaf := ca.issue(t, "leaf", 7, nil)
	responder := func(change func(*x509.Certificate)) *authority {
		return ca.issue(t, "responder", 20, func(c *x509.Certificate) { asResponder(c); change(c) })
	}
	good := responder(func(*x509.Certificate) {})
	revoked := func(r *ocsp.Response) {
		r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, now.Add(-time.Hour), 1
	}
	type change = func(*ocsp.Response)
	for name, c := range map[string]struct {
		by     *authority
		change change
		status Status
		reason string
	}{
		"by the issuer":         {nil, nil, Good, ""},
		"issuer's certificate":  {ca, nil, Good, ""},
		"by a responder":        {good, nil, Good, ""},
		"revoked":               {good, revoked, Revoked, ""},
		"unknown":               {good, func(r *ocsp.Response) { r.Status = ocsp.Unknown }, Unknown, ""},
		"SHA-256 of the issuer": {good, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }, Good, ""},
		"out of date":           {nil, func(r *ocsp.Response) { r.NextUpdate = now.Add(-Skew - time.Second) }, Unknown, "is out of date since 2026-05-04T11:54:59Z"},
		"early":                 {nil, func(r *ocsp.Response) { r.ThisUpdate = now.Add(Skew + time.Second) }, Unknown, "is not valid before 2026-05-04T12:05:01Z"},
		"no next update":        {nil, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }, Good, ""},
		"old, no next update":   {nil, func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = now.Add(-2*time.Hour), time.Time{} }, Unknown, "is out of date since 2026-05-04T11:00:00Z"},
		"another certificate":   {nil, func(r *ocsp.Response) { r.SerialNumber = other.cert.SerialNumber }, Unknown, "is about another certificate"},
		"other's responder":     {other.issue(t, "responder", 20, asResponder), nil, Unknown, `is signed by a responder of another issuer, CN=other`},
		"not for OCSP":          {leaf, nil, Unknown, "is signed by a certificate that is not for OCSP signing"},
		"not for signatures":    {responder(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), nil, Unknown, "is signed by a certificate that is not for signatures"},
		"expired responder":     {responder(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }), nil, Unknown, "is signed by a responder whose certificate is not valid at this time"},
		"responder to be":       {responder(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), nil, Unknown, "is signed by a responder whose certificate is not valid at this time"},
		"unknown extension": {responder(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), nil, Unknown, "is signed by a certificate with the unknown critical extension 1.2.3"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := OCSP(ca.answers(t, leaf.cert, c.by, c.change), leaf.cert, ca.cert, now)
			wantAnswer(t, got, err, c.status, c.reason)
		})
	}
}

// Signatures by others than those that may sign are refused, whatever comes with the response.
func TestForgedOCSP(t *testing.T) {
	var none *authority
	ca, usurper := none.issue(t, "ca", 1, asCA), none.issue(t, "ca", 1, asCA)
	leaf := ca.issue(t, "leaf", 7, nil)
	good := ca.issue(t, "responder", 20, asResponder)
	for name, c := range map[string]struct {
		by   *authority
		with *x509.Certificate
		want string
	}{
		"another key":              {&authority{ca.cert, usurper.key}, nil, "cannot be used: bad OCSP signature"},
		"issuer's name":            {usurper, usurper.cert, "is signed by a responder whose certificate the issuer did not sign"},
		"usurper's responder":      {usurper.issue(t, "responder", 20, asResponder), nil, "is signed by a responder whose certificate the issuer did not sign"},
		"responder's certificate":  {&authority{good.cert, usurper.key}, good.cert, "cannot be used: bad signature on embedded certificate"},
		"issuer's own certificate": {&authority{ca.cert, usurper.key}, ca.cert, "cannot be used: bad signature on embedded certificate"},
	} {
		der := ca.answers(t, leaf.cert, c.by, func(r *ocsp.Response) {
			if r.Certificate = c.with; c.with == nil && strings.HasPrefix(name, "usurper") {
				r.Certificate = c.by.cert
			}
		})
		if _, err := OCSP(der, leaf.cert, ca.cert, now); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	der := ca.answers(t, leaf.cert, good, nil)
	for i := range der {
		der[i] ^= 4
		if a, err := OCSP(der, leaf.cert, ca.cert, now); err == nil && a.Status != Good {
			t.Errorf("octet %d changed: %v", i, a)
		}
		der[i] ^= 4
		if _, err := OCSP(der[:i], leaf.cert, ca.cert, now); err == nil {
			t.Errorf("%d octets of %d were accepted", i, len(der))
		}
	}
}

// A responder of two CAs has one key and two certificates. Its answer about the other CA's
// certificate of the same serial number is not one about ours, whichever certificate comes with it.
func TestOCSPOfAnotherIssuer(t *testing.T) {
	var none *authority
	ca, other := none.issue(t, "ca", 1, asCA), none.issue(t, "other", 1, asCA)
	leaf, same := ca.issue(t, "leaf", 7, nil), other.issue(t, "leaf", 7, nil)
	responder := ca.issue(t, "responder", 20, asResponder)
	der := other.answers(t, same.cert, responder, nil)
	got, err := OCSP(der, leaf.cert, ca.cert, now)
	wantAnswer(t, got, err, Unknown, "is about another certificate")
}

func TestOCSPErrors(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	for want, der := range map[string][]byte{
		"is an error of the responder: unauthorized":               ocsp.UnauthorizedErrorResponse,
		"is an error of the responder: try later":                  ocsp.TryLaterErrorResponse,
		"is an error of the responder: malformed request":          ocsp.MalformedRequestErrorResponse,
		"is an error of the responder: internal error":             ocsp.InternalErrorErrorResponse,
		"is an error of the responder: the request must be signed": ocsp.SigRequredErrorResponse,
		"is an error of the responder: unknown":                    {0x30, 3, 10, 1, 9},
		"is not an OCSP response that can be read":                 []byte("<html>"),
	} {
		got, err := OCSP(der, ca.cert, ca.cert, now)
		wantAnswer(t, got, err, Unknown, want)
	}
}

func TestOCSPRequest(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	leaf := ca.issue(t, "leaf", 7, nil)
	der, err := OCSPRequest(leaf.cert, ca.cert)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ocsp.ParseRequest(der)
	if err != nil || r.SerialNumber.Cmp(leaf.cert.SerialNumber) != 0 || r.HashAlgorithm != crypto.SHA1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzOCSP(f *testing.F) {
	var none *authority
	ca := none.issue(f, "ca", 1, asCA)
	leaf := ca.issue(f, "leaf", 7, nil)
	f.Add(ca.answers(f, leaf.cert, nil, nil))
	f.Add(ca.answers(f, leaf.cert, ca, nil))
	f.Add(ca.answers(f, leaf.cert, ca.issue(f, "responder", 20, asResponder), nil))
	f.Add(ocsp.UnauthorizedErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		if a, err := OCSP(der, leaf.cert, ca.cert, now); err == nil && a.Status != Good {
			t.Errorf("nobody signed %v", a)
		}
	})
}
