// Package revocation decides by the octets of CRLs (RFC 5280) and of OCSP responses (RFC 6960)
// whether a certificate was revoked. It is pure: it fetches nothing and is told the time.
//
// The certificate's issuer is given, and is trusted. Nothing is believed that it did not sign, or
// had signed by a responder of its own.
package revocation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// A Status is what an issuer says of a certificate.
type Status int

// Unknown is also the Status of an Answer that could not be had.
const (
	Unknown Status = iota
	Good
	Revoked
)

// An Answer is the verified word of an issuer on a certificate.
type Answer struct {
	Status Status
	Since  time.Time // of a revocation
	Reason int       // of a revocation (RFC 5280, Section 5.3.1)
	Until  time.Time // the end of its validity
}

// Skew is how far the clocks of an issuer and of this host may differ.
const Skew = 5 * time.Minute

// onHold is the only reason of a revocation that may be lifted again (RFC 5280, Section 5.3.1).
const onHold = 6

// reasons are the reasons of a revocation in words (RFC 5280, Section 5.3.1).
var reasons = map[int]string{
	1: "key compromise", 2: "CA compromise", 3: "affiliation changed", 4: "superseded", 5: "cessation of operation",
	onHold: "on hold", 9: "privilege withdrawn", 10: "attribute authority compromise",
}

// String returns what happened to the certificate, to follow its name.
func (a Answer) String() string {
	switch a.Status {
	case Good:
		return "is not revoked"
	case Revoked:
		text := "was revoked at " + a.Since.UTC().Format(time.RFC3339)
		if why := reasons[a.Reason]; why != "" {
			text += " (" + why + ")"
		}
		return text
	}
	return "is unknown to its issuer"
}

// inTime returns the answer if it is valid now. What is out of date still proves a revocation,
// which is for ever, unless the certificate was on hold.
func (a Answer) inTime(since, now time.Time) (Answer, error) {
	switch {
	case since.After(now.Add(Skew)):
		return Answer{}, fmt.Errorf("is not valid before %s", since.UTC().Format(time.RFC3339))
	case now.After(a.Until.Add(Skew)) && (a.Status != Revoked || a.Reason == onHold):
		return Answer{}, fmt.Errorf("is out of date since %s", a.Until.UTC().Format(time.RFC3339))
	}
	return a, nil
}

// strong returns an error for signatures by hashes that are broken.
func strong(a x509.SignatureAlgorithm) error {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Errorf("has a signature of %v, which can be forged", a)
	}
	return nil
}

var errSignature = errors.New("has a signature that is not of the issuer")
