package revocation

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// A CRL is a complete certificate revocation list of one issuer (RFC 5280, Section 5). It does not
// change, and is safe for concurrent use.
type CRL struct {
	list    *x509.RevocationList // without its entries and extensions
	revoked map[string]entry     // by serial number
	scope   scope
	signer  atomic.Pointer[x509.Certificate] // an issuer whose signature was found right
}

// An entry is a revoked certificate of a CRL.
type entry struct {
	since  int64 // Unix time
	reason int
}

// Extensions of CRLs and of their entries.
var (
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidCertificateIssuer        = asn1.ObjectIdentifier{2, 5, 29, 29}
)

var errIndirect = errors.New("is an indirect CRL, which is not supported; have the CA of each certificate issue its own")

// ParseCRL reads a CRL in DER. The signature is left to Answer, since it takes the issuer. The CRL
// keeps der.
func ParseCRL(der []byte) (*CRL, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("is not a CRL that can be read: %w", err)
	}
	c := &CRL{revoked: make(map[string]entry, len(list.RevokedCertificateEntries))}
	if err := c.readExtensions(list.Extensions); err != nil {
		return nil, err
	}
	for i := range list.RevokedCertificateEntries {
		e := &list.RevokedCertificateEntries[i]
		for _, x := range e.Extensions {
			switch {
			case x.Id.Equal(oidCertificateIssuer):
				return nil, errIndirect
			case x.Critical:
				// Such a CRL must not be used at all (RFC 5280, Section 5.3).
				return nil, fmt.Errorf("has an entry with the unknown critical extension %v", x.Id)
			}
		}
		c.revoked[string(e.SerialNumber.Bytes())] = entry{e.RevocationTime.Unix(), e.ReasonCode}
	}
	c.list = &x509.RevocationList{
		Raw: list.Raw, RawTBSRevocationList: list.RawTBSRevocationList, Signature: list.Signature, SignatureAlgorithm: list.SignatureAlgorithm,
		RawIssuer: list.RawIssuer, Issuer: list.Issuer, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate,
	}
	return c, nil
}

// readExtensions reads the scope, and refuses what a decision would have to understand (RFC 5280,
// Section 5.2).
func (c *CRL) readExtensions(extensions []pkix.Extension) (err error) {
	for _, x := range extensions {
		switch {
		case x.Id.Equal(oidIssuingDistributionPoint):
			if c.scope, err = parseScope(x.Value); err != nil {
				return err
			}
		case x.Id.Equal(oidDeltaCRLIndicator):
			return errors.New("is a delta CRL, which is not supported; name the complete one")
		case x.Critical:
			return fmt.Errorf("has the unknown critical extension %v", x.Id)
		}
	}
	return nil
}

// Issuer returns the name of the issuer.
func (c *CRL) Issuer() string { return c.list.Issuer.String() }

// NextUpdate returns when the next CRL is due, or zero if the CRL does not tell.
func (c *CRL) NextUpdate() time.Time { return c.list.NextUpdate }

// DER returns the CRL as it was read, which must not be changed.
func (c *CRL) DER() []byte { return c.list.Raw }

// Size returns about how many octets the CRL takes in memory.
func (c *CRL) Size() int { return len(c.list.Raw) + 96*len(c.revoked) }

// IsOf reports whether the CRL is of the issuer of a certificate, by the name alone.
func (c *CRL) IsOf(cert *x509.Certificate) bool { return bytes.Equal(c.list.RawIssuer, cert.RawIssuer) }

// Answer returns what the CRL says of a certificate of this issuer. The error continues a sentence
// that begins with the name of the CRL, and means that the CRL says nothing.
func (c *CRL) Answer(cert, issuer *x509.Certificate, now time.Time) (Answer, error) {
	if !c.IsOf(cert) || !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return Answer{}, fmt.Errorf("is of another issuer, %q", c.Issuer())
	}
	if err := c.SignedBy(issuer); err != nil {
		return Answer{}, err
	}
	if err := c.scope.covers(cert); err != nil {
		return Answer{}, err
	}
	if c.list.NextUpdate.IsZero() {
		return Answer{}, errors.New("does not tell when the next one is due")
	}
	a := Answer{Status: Good, Until: c.list.NextUpdate}
	if e, ok := c.revoked[string(cert.SerialNumber.Bytes())]; ok {
		a.Status, a.Since, a.Reason = Revoked, time.Unix(e.since, 0), e.reason
	}
	return a.inTime(c.list.ThisUpdate, now)
}

// SignedBy returns nil if the CRL is signed by the issuer, which must be allowed to (RFC 5280,
// Section 6.3.3, steps f and g).
func (c *CRL) SignedBy(issuer *x509.Certificate) error {
	if known := c.signer.Load(); known != nil && known.Equal(issuer) {
		return nil
	}
	if err := strong(c.list.SignatureAlgorithm); err != nil {
		return err
	}
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return errors.New("is of an issuer whose certificate does not let it sign CRLs")
	}
	if c.list.CheckSignatureFrom(issuer) != nil {
		return errSignature
	}
	c.signer.Store(issuer)
	return nil
}

// A scope is which certificates a CRL is about (RFC 5280, Section 5.2.5).
type scope struct {
	points           []string // URIs of its distribution point; nil: all
	userOnly, caOnly bool
}

// covers returns an error if the CRL is not about the certificate (RFC 5280, Section 6.3.3, step
// b).
func (s scope) covers(cert *x509.Certificate) error {
	switch {
	case s.userOnly && cert.IsCA:
		return errors.New("is about certificates of users alone")
	case s.caOnly && !cert.IsCA:
		return errors.New("is about certificates of CAs alone")
	case s.points != nil && !slices.ContainsFunc(s.points, func(p string) bool { return slices.Contains(cert.CRLDistributionPoints, p) }):
		return errors.New("is of another distribution point than the certificate")
	}
	return nil
}
