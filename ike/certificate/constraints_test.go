package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"culvert/internal/certtest"
)

// Name constraints on distinguished names are not judged, so a chain with them does not hold,
// whether the extension is critical, as it must be, or not.
func TestDirectoryNameConstraints(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	for _, critical := range []bool{true, false} {
		constraint := certtest.DirectoryNameConstraint(t, pkix.Name{Organization: []string{"Other"}}, critical)
		ca := certtest.CA(t, "middle", "p256", root, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{constraint} })
		s := mustParse(t, ca.Issue(t, "leaf", "p256").Cert, ca.Cert)
		_, err := NewTrust([]*x509.Certificate{root.Cert}).Verify(s, now)
		want := map[bool]string{true: "a critical extension that is not supported", false: "CN=middle has name constraints on distinguished names"}[critical]
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("critical %v: %v", critical, err)
		}
	}
}

func TestConstrainsDirectoryNames(t *testing.T) {
	names := certtest.CA(t, "root", "ed25519", nil, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.ExcludedDNSDomains = []string{"example.com"}, []string{"not.example.com"}
	}).Cert
	if constrainsDirectoryNames(names) {
		t.Error("constraints on names are taken for those on distinguished names")
	}
	for name, value := range map[string]string{
		"empty": "", "an integer": "020101", "cut": "3005a003", "a tree that is cut": "3004a0023005", "no base": "3004a0023000",
		"excluded": "3008a1063004a4023000", "permitted": "3008a0063004a4023000", "after another": "300fa00d3005 8203 616263 3004 a4023000",
	} {
		c := &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Value: unhex(t, value)}}}
		if !constrainsDirectoryNames(c) {
			t.Errorf("%s: not found", name)
		}
	}
	other := &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 31}}, {Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Value: unhex(t, "3009a00730058203616263")}}}
	if constrainsDirectoryNames(other) {
		t.Error("a name is taken for a distinguished name")
	}
}
