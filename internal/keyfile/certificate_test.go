package keyfile

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadCAs(t *testing.T) {
	a := certify(t, sampleKeys()["p256"], "a", nil)
	b := certify(t, sampleKeys()["ed25519"], "b", nil)
	c := certify(t, sampleKeys()["rsa"], "c", nil)
	both := append(block("CERTIFICATE", a.Raw), block("CERTIFICATE", b.Raw)...)
	dir := filepath.Dir(write(t, "both.pem", both))
	for name, data := range map[string][]byte{"c.der": c.Raw, "a.crt": block("CERTIFICATE", a.Raw), "README": []byte("x")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "both.pem"): "a b",
		filepath.Join(dir, "c.der"):    "c",
		dir:                            "a b c",
	} {
		got, err := LoadCAs(path)
		if err != nil || names(got) != want {
			t.Errorf("%s: %s, %v; want %s", path, names(got), err, want)
		}
	}
}

func names(certs []*x509.Certificate) string {
	var out []string
	for _, c := range certs {
		out = append(out, c.Subject.CommonName)
	}
	return strings.Join(out, " ")
}

func TestCAsThatAreRefused(t *testing.T) {
	key := sampleKeys()["p256"]
	leaf := certify(t, key, "leaf", func(c *x509.Certificate) { c.IsCA = false })
	path := write(t, "ca.pem", block("CERTIFICATE", leaf.Raw))
	_, err := LoadCAs(path)
	wantError(t, err, path, `the certificate of CN=leaf is not one of a CA; to trust this one key, give it as remote_key`)

	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Unix(3e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, certify(t, key, "root", nil), key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path = write(t, "ca.pem", der)
	_, err = LoadCAs(path)
	wantError(t, err, path, `the certificate of CN=leaf is not one of a CA; name the certificate of its issuer, CN=root`)

	empty := t.TempDir()
	_, err = LoadCAs(empty)
	wantError(t, err, empty, `holds no file whose name ends with one of [".pem" ".crt" ".cer" ".der"]; add the certificate of a CA`)
	_, err = LoadCAs(empty + "/x")
	wantError(t, err, empty+"/x", "no such file")
	_, err = LoadCAs(path + "\x00")
	if err == nil {
		t.Error("a name that cannot be opened was accepted")
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	key := sampleKeys()["p256"]
	ca := certify(t, key, "ca", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign; c.SubjectKeyId = []byte{1} })
	crlDER, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), NextUpdate: time.Unix(3e9, 0)}, ca, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := block("CERTIFICATE", ca.Raw)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"CRL":                {block("X509 CRL", crlDER), "holds a certificate revocation list, not a certificate; name the file that holds a certificate"},
		"CRL in DER":         {crlDER, "holds a certificate revocation list, not a certificate; name it in crl"},
		"request in DER":     {csr, "holds a certificate request, not a certificate; have it signed by a CA"},
		"request":            {block("CERTIFICATE REQUEST", csr), "holds a certificate request; have it signed by a CA"},
		"PKCS#7":             {block("PKCS7", []byte{48, 0}), "holds PKCS#7; extract the certificates: openssl pkcs7 -in FILE -print_certs -out NEW"},
		"trusted":            {block("TRUSTED CERTIFICATE", []byte{48, 0}), "holds a certificate in OpenSSL's own form; convert it: openssl x509 -in FILE -out NEW"},
		"private key":        {block("PRIVATE KEY", pkcs8(t, key)), "holds a private key, not a certificate; name the file that holds a certificate"},
		"key and request":    {append(block("PRIVATE KEY", pkcs8(t, key)), block("CERTIFICATE REQUEST", csr)...), "holds a certificate request; have it signed by a CA"},
		"parameters and key": {append(block("EC PARAMETERS", nil), block("PRIVATE KEY", pkcs8(t, key))...), "holds a private key, not a certificate; name the file that holds a certificate"},
		"encrypted key":      {block("ENCRYPTED PRIVATE KEY", nil), "holds an encrypted private key, not a certificate; name the file that holds a certificate"},
		"unknown":            {[]byte("hello"), "holds nothing that is known, not a certificate; name the file that holds a certificate"},
		"empty":              {nil, "is empty"},
		"small key":          {certify(t, small, "s", nil).Raw, `the certificate of CN=s has an RSA key of 1024 bits, which is too short; use at least 2048`},
		"one damaged":        {append(good, good[30:]...), ""},
		"second damaged":     {append(good, []byte(strings.Replace(string(good), "\n", "\n!", 2))...), "has 2 blocks that begin with -----BEGIN , of which 1 can be read; copy the file again"},
		"cut":                {append(good, good[:60]...), "has 2 blocks that begin with -----BEGIN , of which 1 can be read; copy the file again"},
	} {
		path := write(t, "c", c.data)
		_, err := LoadCertificates(path, "")
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, path, strings.ReplaceAll(c.want, "FILE", path))
		})
	}
}
