package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"culvert/ike/wire"
)

// Bounds of what a peer sends: "send and accept up to four X.509 certificates" is required (RFC
// 7296, Section 3.6).
const (
	maxCertificates = 6
	maxOctets       = 32 << 10 // of all certificates
	maxStapled      = 4
)

// Sent is what the CERT payloads of a peer hold.
type Sent struct {
	Leaf          *x509.Certificate // the first one, whose key verifies AUTH; nil: none was sent
	Intermediates []*x509.Certificate
	RawKey        crypto.PublicKey  // RFC 7670; nil: none was sent
	Stapled       [][]byte          // OCSP responses (RFC 4806), unread
	urls          bool              // there were certificates as hash and URL, which are not fetched
	other         wire.CertEncoding // of a certificate or key that is not read; 0: there was none
}

// ParseSent reads the CERT payloads of a message. Encodings that are not supported are skipped: the
// certificate may be there in another one. All keys are checked before anything is computed with
// them, also those that no chain needs.
func ParseSent(ps []wire.Payload) (*Sent, error) {
	s := &Sent{}
	octets, count := 0, 0
	for _, p := range ps {
		c, ok := p.(*wire.Cert)
		if !ok {
			continue
		}
		switch c.Encoding {
		case wire.CertX509Signature:
			count++
			octets += len(c.Data)
			if count > maxCertificates || octets > maxOctets {
				return nil, fmt.Errorf("it sends more than %d certificates, or more than %d octets of them", maxCertificates, maxOctets)
			}
			if err := s.add(c.Data); err != nil {
				return nil, FaultOf(&x509.Certificate{Raw: c.Data}, "its certificate %d %w", count, err)
			}
		case wire.CertRawPublicKey:
			key, err := x509.ParsePKIXPublicKey(c.Data)
			if err == nil {
				err = CheckKey(key)
			}
			if err != nil || s.RawKey != nil {
				return nil, errors.New("its raw public key is malformed, of an unsupported kind, or one of several")
			}
			s.RawKey = key
		case wire.CertOCSPContent:
			if len(s.Stapled) < maxStapled {
				s.Stapled = append(s.Stapled, c.Data)
			}
		case wire.CertHashURLX509, wire.CertHashURLBundle:
			s.urls = true
		case wire.CertPKCS7, wire.CertPGP, wire.CertDNSSigned, wire.CertSPKI:
			s.other = c.Encoding
		}
	}
	return s, nil
}

// add adds a certificate in DER. A copy of another one is skipped.
func (s *Sent) add(der []byte) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return errors.New("is malformed")
	}
	if err := CheckKey(c.PublicKey); err != nil {
		return fmt.Errorf("(%s) %w", Name(c), err)
	}
	if s.Leaf == nil {
		s.Leaf = c
		return nil
	}
	for _, o := range append(s.Intermediates, s.Leaf) {
		if bytes.Equal(o.Raw, der) {
			return nil
		}
	}
	s.Intermediates = append(s.Intermediates, c)
	return nil
}

// Missing returns why there is no certificate.
func (s *Sent) Missing() error {
	if s.urls {
		return errors.New("it sends its certificate as hash and URL, which is not fetched; have it send the certificate itself")
	}
	if s.other != 0 {
		return fmt.Errorf("it sends its certificate or key as %q, which is not supported; have it send an X.509 certificate, or a raw public key of RFC 7670", s.other)
	}
	return errors.New("it sends no certificate; have it send one, or set remote_key to its public key")
}

// KindOf returns the kind of the key that a peer signs by, as KeyName does, if its payloads tell
// it.
func KindOf(ps []wire.Payload) string {
	for _, p := range ps {
		if c, ok := p.(*wire.Cert); ok && c.Encoding == wire.CertX509Signature {
			if leaf, err := x509.ParseCertificate(c.Data); err == nil {
				return KeyName(leaf.PublicKey)
			}
			break
		}
	}
	return ""
}

// IsRoot reports whether a certificate is of an authority that certifies itself.
func IsRoot(c *x509.Certificate) bool {
	return c.IsCA && bytes.Equal(c.RawSubject, c.RawIssuer)
}
