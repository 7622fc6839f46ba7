package revocation

import (
	"testing"

	"golang.org/x/crypto/ocsp"
)

func TestSplitOCSP(t *testing.T) {
	var none *authority
	ca := none.issue(t, "ca", 1, asCA)
	other := none.issue(t, "ca", 1, asCA)
	leaf := ca.issue(t, "leaf", 7, nil)
	responder := ca.issue(t, "responder", 20, asResponder)
	for _, by := range []*authority{nil, responder} {
		der := ca.answers(t, leaf.cert, by, func(r *ocsp.Response) { r.IssuerHash = 0 })
		p, err := splitOCSP(der)
		if err != nil {
			t.Fatal(err)
		}
		if (by == nil) != (p.cert == nil) || by != nil && !p.cert.Equal(by.cert) {
			t.Errorf("the certificate is %v", p.cert)
		}
		if len(p.ids) != 1 || !p.isAbout(leaf.cert, ca.cert) || p.isAbout(leaf.cert, other.cert) || p.isAbout(ca.cert, ca.cert) {
			t.Errorf("ids %+v", p.ids)
		}
		for n := range len(der) {
			if _, err := splitOCSP(der[:n]); err == nil {
				t.Errorf("%d octets of %d were accepted", n, len(der))
			}
		}
	}
}
