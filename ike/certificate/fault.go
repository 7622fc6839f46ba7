package certificate

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"culvert/ike/wire"
)

// A Fault is why one certificate of a chain is not accepted.
type Fault struct {
	Of      *x509.Certificate
	trusted []*x509.Certificate // what it should lead to, where it does not
	text    string
	err     error // that it wraps, or nil
}

// Error returns the reason in words, which name the certificate where that is needed.
func (f *Fault) Error() string { return f.text }

func (f *Fault) Unwrap() error { return f.err }

// FaultOf returns the Fault of a certificate. Names in the text must be escaped and bounded.
func FaultOf(c *x509.Certificate, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Fault{Of: c, text: err.Error(), err: errors.Unwrap(err)}
}

// notLed is FaultOf where a chain does not lead to a trusted authority.
func notLed(trusted []*x509.Certificate, c *x509.Certificate, format string, args ...any) error {
	return &Fault{Of: c, trusted: trusted, text: fmt.Sprintf(format, args...)}
}

// Lines returns a line on each certificate that a peer sends, as Describe does, and marks the one
// that err, the result of a verification, is about. If that is none of them, but one that is
// configured, it has a line of its own. Where the chain leads to no authority that is trusted, they
// are named.
func Lines(ps []wire.Payload, err error) []string {
	lines := Describe(ps)
	var f *Fault
	if !errors.As(err, &f) || f.Of == nil {
		return lines
	}
	lines = f.mark(lines, ps)
	if len(f.trusted) > 0 {
		lines = append(lines, "trusted: "+namesOf(f.trusted))
	}
	return lines
}

// namesOf lists certificates by name.
func namesOf(list []*x509.Certificate) string {
	const most = 5
	var names []string
	for i, c := range list {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		names = append(names, Name(c))
	}
	return strings.Join(names, "; ")
}

// mark marks the line of the certificate.
func (f *Fault) mark(lines []string, ps []wire.Payload) []string {
	const mark = ": not accepted"
	n := 0
	for _, p := range ps {
		sent, ok := p.(*wire.Cert)
		if !ok || sent.Encoding != wire.CertX509Signature {
			continue
		}
		if n == len(lines) {
			break
		}
		if bytes.Equal(sent.Data, f.Of.Raw) {
			lines[n] += mark
			return lines
		}
		n++
	}
	return append(lines, "configured authority: "+line(f.Of)+mark)
}

// line describes a certificate.
func line(c *x509.Certificate) string {
	return fmt.Sprintf("%s, issued by %s, valid from %s to %s, %s", Name(c), Issuer(c), stamp(c.NotBefore), stamp(c.NotAfter), KeyName(c.PublicKey))
}
