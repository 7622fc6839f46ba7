package revocation

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"culvert/ike/certificate"
)

// withoutNext is how long a response is valid that does not tell when newer ones are due (RFC 6960,
// Section 4.2.2.1: they always are).
const withoutNext = time.Hour

// OCSPRequest returns the request for the status of a certificate of this issuer, in DER. It has no
// nonce, so that responders may answer from a store and peers may pass answers on; an answer is
// fresh by its times.
func OCSPRequest(cert, issuer *x509.Certificate) ([]byte, error) {
	return ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
}

// CheckOCSP returns an error unless der is an OCSP response with an answer, whatever it says. The
// error continues a sentence that begins with a name for the response.
func CheckOCSP(der []byte) error {
	_, err := splitOCSP(der)
	return err
}

// OCSP returns what a response in DER says of a certificate of this issuer. The error continues a
// sentence that begins with a name for the response, and means that it says nothing.
func OCSP(der []byte, cert, issuer *x509.Certificate, now time.Time) (Answer, error) {
	parts, err := splitOCSP(der)
	if err != nil {
		return Answer{}, err
	}
	if !parts.isAbout(cert, issuer) {
		return Answer{}, errors.New("is about another certificate")
	}
	signer, err := parts.signer(issuer, now)
	if err != nil {
		return Answer{}, err
	}
	// With a certificate in it the library verifies by that, which is the signer's.
	from := signer
	if parts.cert != nil {
		from = nil
	}
	r, err := ocsp.ParseResponseForCert(der, cert, from)
	if err != nil {
		return Answer{}, fmt.Errorf("cannot be used: %w", err)
	}
	if err := strong(r.SignatureAlgorithm); err != nil {
		return Answer{}, err
	}
	a := Answer{Status: statuses[r.Status], Since: r.RevokedAt, Reason: r.RevocationReason, Until: r.NextUpdate}
	if a.Until.IsZero() {
		a.Until = r.ThisUpdate.Add(withoutNext)
	}
	return a.inTime(r.ThisUpdate, now)
}

// statuses are the statuses of OCSP.
var statuses = map[int]Status{ocsp.Good: Good, ocsp.Revoked: Revoked, ocsp.Unknown: Unknown}

// signer returns the certificate of whoever must have signed the response: the issuer, or a
// responder that the issuer has authorized by a certificate of its own (RFC 6960, Section
// 4.2.2.2). The responder's certificate is believed for as long as it is valid, as with
// id-pkix-ocsp-nocheck.
func (p *ocspParts) signer(issuer *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	c := p.cert
	switch {
	case c == nil || c.Equal(issuer):
		return issuer, nil
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return nil, fmt.Errorf("is signed by a responder of another issuer, %s", certificate.Issuer(c))
	case certificate.CheckKey(c.PublicKey) != nil:
		return nil, fmt.Errorf("is signed by a responder whose certificate %w", certificate.CheckKey(c.PublicKey))
	case strong(c.SignatureAlgorithm) != nil || c.CheckSignatureFrom(issuer) != nil:
		return nil, errors.New("is signed by a responder whose certificate the issuer did not sign")
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return nil, errors.New("is signed by a certificate that is not for OCSP signing")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, errors.New("is signed by a certificate that is not for signatures")
	case len(c.UnhandledCriticalExtensions) > 0:
		return nil, fmt.Errorf("is signed by a certificate with the unknown critical extension %v", c.UnhandledCriticalExtensions[0])
	case now.Add(Skew).Before(c.NotBefore) || now.After(c.NotAfter.Add(Skew)):
		return nil, errors.New("is signed by a responder whose certificate is not valid at this time")
	}
	return c, nil
}

// hashes are those by which a CertID names an issuer (RFC 6960, Section 4.1.1).
var hashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}
