package config

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"culvert/internal/certtest"
)

func TestRevocation(t *testing.T) {
	dir := withKeys(t)
	for name, der := range map[string][]byte{"a.crl": crlOf(t, time.Now().Add(time.Hour)), "b.crl": crlOf(t, time.Now().Add(time.Hour))} {
		if err := os.WriteFile(filepath.Join(dir, name), der, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const certs = "cert = \"left.pem\"\nca = \"ca.crt\"\n"
	for lines, want := range map[string]struct {
		mode Revocation
		crls int
		err  string
	}{
		"":                                        {RevocationRelaxed, 0, ""},
		"revocation = \"relaxed\"\n":              {RevocationRelaxed, 0, ""},
		"revocation = \"strict\"\n":               {RevocationStrict, 0, ""},
		"revocation = \"off\"\n":                  {RevocationOff, 0, ""},
		"crl = \"a.crl\"\n":                       {RevocationRelaxed, 1, ""},
		"crl = [\"a.crl\", \"b.crl\"]\n":          {RevocationRelaxed, 2, ""},
		"crl = \"ca.crt\"\n":                      {0, 0, `a.toml:8: peer "right": crl: ` + dir + `/ca.crt: holds a certificate, not a certificate revocation list`},
		"crl = []\n":                              {0, 0, `crl is empty; list at least one file`},
		"revocation = \"on\"\n":                   {0, 0, `revocation = "on"`},
		"revocation = \"off\"\ncrl = \"a.crl\"\n": {0, 0, `crl has no effect with revocation = "off"; remove one of them`},
	} {
		cfg, err := loadIn(t, dir, keyed(certs+lines))
		if want.err != "" {
			if got := texts(err); len(got) != 1 || !strings.Contains(got[0], want.err) {
				t.Errorf("%q: got %q, want %s", lines, got, want.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := cfg.Peers[0]; p.Revocation != want.mode || len(p.CRLs) != want.crls {
			t.Errorf("%q: %v, %d CRLs", lines, p.Revocation, len(p.CRLs))
		}
	}
	for _, line := range []string{"revocation = \"strict\"\n", "crl = \"a.crl\"\n"} {
		_, err := loadIn(t, dir, keyed("cert = \"left.pem\"\nremote_key = \"right.pub\"\n"+line))
		if got := texts(err); len(got) != 1 || !strings.Contains(got[0], "has no effect without ca: only certificates can be revoked; remove it") {
			t.Errorf("%q: got %q", line, got)
		}
	}
}

// crlOf returns a CRL of a new CA until some time.
func crlOf(t *testing.T, until time.Time) []byte {
	t.Helper()
	ca := certtest.CA(t, "ca", "p256", nil)
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: until.AddDate(0, 0, -2), NextUpdate: until,
	}, ca.Cert, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// ocspOf returns an OCSP response by which a certificate is good for an hour.
func ocspOf(t *testing.T, ca, leaf *certtest.Pair) []byte {
	t.Helper()
	der, err := ocsp.CreateResponse(ca.Cert, ca.Cert, ocsp.Response{
		SerialNumber: leaf.Cert.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
	}, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestStaple(t *testing.T) {
	dir := withKeys(t)
	const certs = "cert = \"left.pem\"\nca = \"ca.crt\"\n"
	for line, want := range map[string]bool{"": true, "staple = \"auto\"\n": true, "staple = \"off\"\n": false} {
		if cfg, err := loadIn(t, dir, keyed(certs+line)); err != nil || cfg.Peers[0].Staple != want {
			t.Errorf("%q: %v", line, err)
		}
	}
	if cfg, err := loadIn(t, dir, keyed(certs+"ocsp = [\"left.ocsp\", \"left.ocsp\"]\n")); err != nil || len(cfg.Peers[0].OCSP) != 2 {
		t.Errorf("OCSP responses in files: %v", err)
	}
	for lines, want := range map[string]string{
		certs + "staple = \"on\"\n":                                                       `staple = "on"`,
		certs + "staple = \"off\"\nocsp = \"left.ocsp\"\n":                                `ocsp has no effect with staple = "off"; remove one of them`,
		certs + "ocsp = \"none.ocsp\"\n":                                                  `none.ocsp: no such file`,
		certs + "ocsp = \"ca.crt\"\n":                                                     `holds a certificate, not an OCSP response`,
		"psk = \"correct horse battery staple\"\nca = \"ca.crt\"\nocsp = \"left.ocsp\"\n": `ocsp has no effect without cert`,
		"psk = \"correct horse battery staple\"\nca = \"ca.crt\"\nstaple = \"off\"\n":     `staple has no effect without cert: OCSP responses are for certificates; remove it`,
	} {
		_, err := loadIn(t, dir, keyed(lines))
		if got := texts(err); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%q: %q", lines, got)
		}
	}
}
