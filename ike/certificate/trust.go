package certificate

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// Trust is the set of certification authorities that a peer's certificate may come from. It does
// not change, but remembers the chains that it has verified, and may be used by several goroutines
// at a time.
type Trust struct {
	cas      []*x509.Certificate
	pool     *x509.CertPool
	verified verified
}

// NewTrust returns the trust in some authorities; those of the system are not among them. A
// certificate that is not one of an authority is trusted as it is.
func NewTrust(cas []*x509.Certificate) *Trust {
	t := &Trust{cas: cas, pool: x509.NewCertPool()}
	for _, ca := range cas {
		t.pool.AddCert(understood(ca))
	}
	return t
}

// Verify returns the chain from what a peer sent to one of the authorities, leaf first, or why
// there is none. The signatures, validity at the time, the length of the path, key usage and name
// constraints are those of RFC 5280, Section 6, and RFC 4945, Section 5.1.3. It should be called
// for a peer that has proved that it has the leaf's key: what verifies is remembered.
func (t *Trust) Verify(s *Sent, now time.Time) ([]*x509.Certificate, error) {
	if s.Leaf == nil {
		return nil, s.Missing()
	}
	if err := Valid(s.Leaf, now); err != nil {
		return nil, err
	}
	if err := mayAuthenticate(s.Leaf); err != nil {
		return nil, err
	}
	d := digestOf(s)
	if chain := t.verified.find(d, s, t.cas, now); chain != nil {
		return chain, nil
	}
	intermediates, err := t.path(s)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range intermediates {
		pool.AddCert(understood(c))
	}
	chains, err := understood(s.Leaf).Verify(x509.VerifyOptions{
		Roots: t.pool, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, t.explain(s.Leaf, intermediates, now, err)
	}
	chain, err := judged(chains)
	if err == nil {
		t.verified.add(d, s, t.cas, chain)
	}
	return chain, err
}

// judged returns the first chain of which the constraints hold that package x509 does not judge.
func judged(chains [][]*x509.Certificate) (chain []*x509.Certificate, err error) {
	for _, chain = range chains {
		if err = checkConstraints(chain); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// maxAlike bounds the certificates with one subject that a chain may go through: an authority has
// several certificates by others. It bounds the ways that are tried, and so the signatures that are
// verified.
const maxAlike = 2

// path returns those of the certificates that issued one another, from the leaf on by their names.
// It is an error if they do not lead to an authority: then nothing is verified.
func (t *Trust) path(s *Sent) (list []*x509.Certificate, err error) {
	if t.has(s.Leaf) {
		return nil, nil
	}
	led, alike := false, map[string]int{}
	for at := -1; at < len(list); at++ {
		c := s.Leaf
		if at >= 0 {
			c = list[at]
		}
		led = led || t.has(c) || t.issued(c)
		for _, up := range s.Intermediates {
			if bytes.Equal(up.RawSubject, c.RawIssuer) && !contains(list, up) {
				if alike[string(up.RawSubject)]++; alike[string(up.RawSubject)] > maxAlike {
					return nil, FaultOf(up, "it sends more than %d certificates of %s", maxAlike, Name(up))
				}
				list = append(list, up)
			}
		}
	}
	if !led {
		return nil, t.noWay(s, list)
	}
	return list, nil
}

// noWay returns why no authority issued a certificate: where the chain ends.
func (t *Trust) noWay(s *Sent, list []*x509.Certificate) error {
	last := s.Leaf
	if len(list) > 0 {
		last = list[len(list)-1]
	}
	if bytes.Equal(last.RawIssuer, last.RawSubject) {
		return notLed(t.cas, last, "its certificate %s is not of an authority in ca: it ends at %s, which is not in ca", Name(s.Leaf), Name(last))
	}
	return notLed(t.cas, last, "its certificate %s is not of an authority in ca: the issuer of %s, %s, is neither in ca nor among the %d intermediate certificates that it sent",
		Name(s.Leaf), Name(last), Issuer(last), len(s.Intermediates))
}

func (t *Trust) has(c *x509.Certificate) bool { return contains(t.cas, c) }

// Request returns the CERTREQ for certificates of the authorities; of very many the first ones.
func (t *Trust) Request() *wire.CertReq { return request(t.cas) }

// Names reports whether one of the certificates, or an authority above them, is what a peer asks
// for. No trust means no authorities.
func (t *Trust) Names(w Wanted, chain []*x509.Certificate) bool {
	if w.names(chain) {
		return true
	}
	return t != nil && slices.ContainsFunc(t.cas, func(ca *x509.Certificate) bool {
		issued := func(c *x509.Certificate) bool {
			otherKey := len(c.AuthorityKeyId) > 0 && len(ca.SubjectKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId)
			return bytes.Equal(c.RawIssuer, ca.RawSubject) && !otherKey
		}
		return slices.ContainsFunc(chain, issued) && w.names([]*x509.Certificate{ca})
	})
}

// Authorities returns the certificates of the authorities, which must not be changed; nil without
// any trust.
func (t *Trust) Authorities() []*x509.Certificate {
	if t == nil {
		return nil
	}
	return t.cas
}

func contains(list []*x509.Certificate, c *x509.Certificate) bool {
	for _, o := range list {
		if o.Equal(c) {
			return true
		}
	}
	return false
}

// issued reports whether an authority has the name of a certificate's issuer.
func (t *Trust) issued(c *x509.Certificate) bool {
	for _, ca := range t.cas {
		if bytes.Equal(ca.RawSubject, c.RawIssuer) {
			return true
		}
	}
	return false
}

// Valid returns why a certificate is not valid at the time, or nil.
func Valid(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return FaultOf(c, "the certificate %s is not valid before %s, and the clock of this host shows %s", Name(c), stamp(c.NotBefore), stamp(now))
	case now.After(c.NotAfter):
		return FaultOf(c, "the certificate %s expired at %s, and the clock of this host shows %s", Name(c), stamp(c.NotAfter), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// mayAuthenticate returns an error unless the key usage, if there is one, has digitalSignature or
// nonRepudiation (RFC 4945, Section 5.1.3.2). Extended key usage is another matter: see Purpose.
func mayAuthenticate(c *x509.Certificate) error {
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return FaultOf(c, "the certificate %s is not for signatures: its key usage has neither digitalSignature nor nonRepudiation", Name(c))
	}
	return nil
}

// explain returns an error of package x509 as a sentence for operators. Texts of that package may
// hold octets of the certificate.
func (t *Trust) explain(leaf *x509.Certificate, intermediates []*x509.Certificate, now time.Time, err error) error {
	var invalid x509.CertificateInvalidError
	var critical x509.UnhandledCriticalExtension
	var unknown x509.UnknownAuthorityError
	text := bounded(identity.Printable(err.Error()))
	for _, c := range append(intermediates, t.cas...) {
		if invalid := Valid(c, now); invalid != nil && (contains(intermediates, c) || len(t.cas) == 1) {
			return FaultOf(c, "in the chain of its certificate %s, %w", Name(leaf), invalid)
		}
	}
	switch {
	case errors.As(err, &invalid) && invalid.Cert != nil:
		return FaultOf(invalid.Cert, "the certificate %s does not hold in the chain of %s: %s", Name(invalid.Cert), Name(leaf), whyInvalid(&invalid))
	case errors.As(err, &critical):
		return FaultOf(leaf, "a certificate in the chain of %s has a critical extension that is not supported", Name(leaf))
	case errors.As(err, &unknown) && unknown.Cert != nil:
		return notLed(t.cas, unknown.Cert, "the certificate %s names %s as its issuer, whose key did not sign it", Name(unknown.Cert), Issuer(unknown.Cert))
	}
	return FaultOf(leaf, "the chain of the certificate %s does not verify: %s", Name(leaf), text)
}

// whyInvalid returns what package x509 found wrong with a certificate, in words.
func whyInvalid(e *x509.CertificateInvalidError) string {
	switch e.Reason {
	case x509.NotAuthorizedToSign:
		return "it is not that of an authority, or may not sign certificates (basicConstraints, keyUsage)"
	case x509.TooManyIntermediates:
		return "the path is too long: its authority allows fewer authorities below it (pathLenConstraint)"
	case x509.CANotAuthorizedForThisName, x509.NameConstraintsWithoutSANs, x509.UnconstrainedName:
		return "its names are outside of the name constraints of an authority above it" + detailOf(e)
	case x509.TooManyConstraints:
		return "it has too many names or name constraints"
	}
	return bounded(identity.Printable(e.Error()))
}

func detailOf(e *x509.CertificateInvalidError) string {
	if e.Detail == "" {
		return ""
	}
	return ": " + bounded(identity.Printable(e.Detail))
}
