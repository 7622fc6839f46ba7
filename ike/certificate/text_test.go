package certificate

import (
	"crypto/x509"
	"strings"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

func TestName(t *testing.T) {
	root := certtest.CA(t, "root", "ed25519", nil)
	for want, c := range map[string]*certtest.Pair{
		"O=Example, CN=leaf":               root.Issue(t, "leaf", "ed25519", "leaf.example.com"),
		"leaf.example.com":                 root.Issue(t, "", "ed25519", "leaf.example.com"),
		`O=Example, CN=\n\u202e;$(reboot)`: root.Issue(t, "\n\u202e;$(reboot)", "ed25519"),
	} {
		if got := Name(c.Cert); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := Issuer(c.Cert); got != "O=Example, CN=root" {
			t.Errorf("issued by %q", got)
		}
	}
	nameless := root.Issue(t, "", "ed25519")
	if got := Name(nameless.Cert); !strings.HasPrefix(got, "serial number ") {
		t.Errorf("without a name: %q", got)
	}
	if got := Issuer(nameless.Issue(t, "x", "ed25519").Cert); got != "an issuer without a name" {
		t.Errorf("issued by %q", got)
	}
	if got := namesText(nameless.Cert); got != "nothing" {
		t.Errorf("it is for %q", got)
	}
}

// Names of peers' certificates are bounded in errors, however long they are, and stay valid text.
func TestNamesAreBounded(t *testing.T) {
	root := certtest.CA(t, "root", "ed25519", nil)
	long := root.Issue(t, strings.Repeat("ü", 500), "ed25519", strings.Repeat("a", 300), "2", "3", "4", "5")
	name := Name(long.Cert)
	if len(name) > maxName+3 || !strings.HasSuffix(name, "...") || strings.ToValidUTF8(name, "") != name {
		t.Errorf("%d octets: %q", len(name), name)
	}
	if text := namesText(long.Cert); len(text) > 5*maxName || !strings.HasSuffix(text, "and more") {
		t.Errorf("%q", text)
	}
}

func TestDescribe(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	leaf := root.Issue(t, "\x1bleaf", "ed25519", "left.example.com")
	ps := append(certPayloads(leaf.Cert), &wire.Cert{Encoding: wire.CertCRL}, &wire.Cert{Encoding: wire.CertX509Signature, Data: []byte("no")}, &wire.Notify{})
	got := strings.Join(Describe(append(ps, certPayloads(root.Cert)...)), "\n")
	want := `certificate 1: O=Example, CN=\x1bleaf, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, Ed25519
certificate 2: malformed
certificate 3: O=Example, CN=root, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	var many []*x509.Certificate
	for range 100 {
		many = append(many, root.Cert)
	}
	if n := len(Describe(certPayloads(many...))); n != maxCertificates {
		t.Errorf("%d lines", n)
	}
}
