package keyfile

import (
	"crypto/x509"
	"strings"
	"testing"

	"culvert/ike/certificate"

	"software.sslmate.com/src/go-pkcs12"
)

func TestShape(t *testing.T) {
	p256 := sampleKeys()["p256"]
	leaf := certify(t, p256, "leaf", nil)
	p12, err := pkcs12.Modern2023.WithIterations(1).Encode(p256, leaf, nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data []byte
		want form
	}{
		{leaf.Raw, x509Certificate},
		{p12, pkcs12File},
		{spki(t, p256.Public()), publicKey},
		{pkcs8(t, p256), privateKey},
		{[]byte{48, 9, 48, 3, 6, 1, 42, 4, 2, 0, 0}, encryptedKey},
		{[]byte{48, 5, 6, 1, 42, 160, 0}, pkcs7},
		{[]byte("ssh-rsa AAAA"), sshPublicKey},
		{[]byte("ecdsa-sha2-nistp256 AAAA"), sshPublicKey},
		{append(leaf.Raw[:len(leaf.Raw):len(leaf.Raw)], 0), unknown},
		{[]byte{48, 0}, unknown},
		{[]byte("hello"), unknown},
		{nil, unknown},
	} {
		if got := shape(c.data); got != c.want {
			t.Errorf("%.20x: %s, want %s", c.data, forms[got].name, forms[c.want].name)
		}
	}
}

func TestForms(t *testing.T) {
	for f, words := range forms {
		if words.name == "" {
			t.Errorf("form %d has no name", f)
		}
		if (words.toward == unknown) != (words.remedy == "") {
			t.Errorf("%s: a remedy is for a form", words.name)
		}
	}
	for label, f := range labels {
		if strings.Contains(label, "PRIVATE KEY") && f != tpmKey && !f.secret() {
			t.Errorf("%s is not secret", label)
		}
	}
	if x509Certificate.secret() || publicKey.secret() || !pkcs12File.secret() {
		t.Error("what is secret has changed")
	}
}

// FuzzSplit has files read that nobody checked: what is accepted can be used. PKCS#12 is left out,
// whose iterations the file itself counts.
func FuzzSplit(f *testing.F) {
	for _, key := range sampleKeys() {
		for _, data := range privateForms(f, key) {
			f.Add(data)
		}
		f.Add(spki(f, key.Public()))
		f.Add(block("PUBLIC KEY", spki(f, key.Public())))
		cert := certify(f, key, "a", nil)
		f.Add(cert.Raw)
		f.Add(append(block("CERTIFICATE", cert.Raw), block("X509 CRL", []byte{48, 0})...))
	}
	for _, line := range sshKeys {
		f.Add([]byte(line))
	}
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN -----BEGIN CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := split(data)
		if err != nil {
			return
		}
		for _, it := range items {
			switch it.form {
			case privateKey:
				if key, err := parsePrivate(it.der); err == nil && certificate.CheckKey(key.Public()) != nil {
					t.Error("a private key that cannot be used")
				}
			case publicKey:
				if pub, err := parsePublic(it.der); err == nil && certificate.CheckKey(pub) != nil {
					t.Error("a public key that cannot be used")
				}
			case sshPublicKey:
				if pub, err := parseSSH(it.der); err == nil && certificate.CheckKey(pub) != nil {
					t.Error("a public key that cannot be used")
				}
			case x509Certificate:
				if certs, err := parseCertificate(it.der); err == nil && usable(certs) == nil {
					if _, err := x509.MarshalPKIXPublicKey(certs[0].PublicKey); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
}
