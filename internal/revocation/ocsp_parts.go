package revocation

import (
	"bytes"
	"crypto"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ocspParts are what a decision needs of a response and golang.org/x/crypto/ocsp does not give: of
// whom it is, beside a serial number, and who signed it, before any signature is verified.
type ocspParts struct {
	ids  []certID
	cert *x509.Certificate // that was sent with the response; nil: none
}

// A certID names a certificate (RFC 6960, Section 4.1.1).
type certID struct {
	hash      stdasn1.ObjectIdentifier
	name, key cryptobyte.String // hashes of the issuer's name and key
	serial    *big.Int
}

var errOCSP = errors.New("is not an OCSP response that can be read")

// explicit is the tag of a field with an explicit number.
func explicit(n asn1.Tag) asn1.Tag { return n.ContextSpecific().Constructed() }

// splitOCSP reads the parts of an OCSPResponse (RFC 6960, Section 4.2.1).
func splitOCSP(der []byte) (*ocspParts, error) {
	in := cryptobyte.String(der)
	var body, wrapped, octets, basic, tbs, skipped cryptobyte.String
	var status int
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Enum(&status) {
		return nil, errOCSP
	}
	if status != 0 {
		return nil, errors.New("is an error of the responder: " + ocspError(status))
	}
	var kind stdasn1.ObjectIdentifier
	if !body.ReadASN1(&wrapped, explicit(0)) || !wrapped.ReadASN1(&wrapped, asn1.SEQUENCE) ||
		!wrapped.ReadASN1ObjectIdentifier(&kind) || !wrapped.ReadASN1(&octets, asn1.OCTET_STRING) ||
		!octets.ReadASN1(&basic, asn1.SEQUENCE) || !basic.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!basic.ReadASN1(&skipped, asn1.SEQUENCE) || !basic.ReadASN1(&skipped, asn1.BIT_STRING) {
		return nil, errOCSP
	}
	p := &ocspParts{}
	if !p.readIDs(tbs) {
		return nil, errOCSP
	}
	return p, p.readCertificate(basic)
}

// readIDs reads the names of the certificates of a ResponseData.
func (p *ocspParts) readIDs(tbs cryptobyte.String) bool {
	var responder, responses cryptobyte.String
	var tag asn1.Tag
	if !tbs.SkipOptionalASN1(explicit(0)) || !tbs.ReadAnyASN1(&responder, &tag) ||
		!tbs.SkipASN1(asn1.GeneralizedTime) || !tbs.ReadASN1(&responses, asn1.SEQUENCE) {
		return false
	}
	for !responses.Empty() {
		var single, id, algorithm cryptobyte.String
		c := certID{serial: new(big.Int)}
		if !responses.ReadASN1(&single, asn1.SEQUENCE) || !single.ReadASN1(&id, asn1.SEQUENCE) ||
			!id.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&c.hash) ||
			!id.ReadASN1(&c.name, asn1.OCTET_STRING) || !id.ReadASN1(&c.key, asn1.OCTET_STRING) ||
			!id.ReadASN1Integer(c.serial) {
			return false
		}
		p.ids = append(p.ids, c)
	}
	return true
}

// readCertificate reads the first certificate that comes with the response, by which the library
// verifies.
func (p *ocspParts) readCertificate(rest cryptobyte.String) (err error) {
	var list, first cryptobyte.String
	var present bool
	if !rest.ReadOptionalASN1(&list, &present, explicit(0)) || !rest.Empty() {
		return errOCSP
	}
	if !present {
		return nil
	}
	if !list.ReadASN1(&list, asn1.SEQUENCE) {
		return errOCSP
	}
	if list.Empty() {
		return nil
	}
	if !list.ReadASN1Element(&first, asn1.SEQUENCE) {
		return errOCSP
	}
	if p.cert, err = x509.ParseCertificate(first); err != nil {
		return errOCSP
	}
	return nil
}

// isAbout reports whether the first answer with the serial number of the certificate, which is the
// one that the library returns, names this issuer. Else an answer about a certificate of another
// issuer would do, if both have the same responder.
func (p *ocspParts) isAbout(cert, issuer *x509.Certificate) bool {
	for _, id := range p.ids {
		if id.serial.Cmp(cert.SerialNumber) == 0 {
			return id.isOf(issuer)
		}
	}
	return false
}

// isOf reports whether the id names this issuer.
func (id certID) isOf(issuer *x509.Certificate) bool {
	var spki, key cryptobyte.String
	in := cryptobyte.String(issuer.RawSubjectPublicKeyInfo)
	var bits stdasn1.BitString
	if !in.ReadASN1(&spki, asn1.SEQUENCE) || !spki.ReadASN1(&key, asn1.SEQUENCE) || !spki.ReadASN1BitString(&bits) {
		return false
	}
	for _, h := range hashes {
		if h.oid.Equal(id.hash) {
			return bytes.Equal(digest(h.hash, issuer.RawSubject), id.name) && bytes.Equal(digest(h.hash, bits.RightAlign()), id.key)
		}
	}
	return false
}

func digest(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// ocspError returns an error of a responder in words (RFC 6960, Section 4.2.1).
func ocspError(status int) string {
	switch status {
	case 1:
		return "malformed request"
	case 2:
		return "internal error"
	case 3:
		return "try later"
	case 5:
		return "the request must be signed"
	case 6:
		return "unauthorized"
	}
	return "unknown"
}
