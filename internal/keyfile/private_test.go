package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"
)

// privateForms returns the files that hold a key, by what they are.
func privateForms(t testing.TB, key crypto.Signer) map[string][]byte {
	t.Helper()
	p8 := pkcs8(t, key)
	forms := map[string][]byte{"PKCS#8 PEM": block("PRIVATE KEY", p8), "PKCS#8 DER": p8}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		der := x509.MarshalPKCS1PrivateKey(k)
		forms["PKCS#1 PEM"], forms["PKCS#1 DER"] = block("RSA PRIVATE KEY", der), der
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		forms["SEC 1 DER"] = der
		forms["SEC 1 PEM with parameters"] = append(block("EC PARAMETERS", []byte{6, 1, 42}), block("EC PRIVATE KEY", der)...)
	}
	return forms
}

func TestPrivateKeysOfAllForms(t *testing.T) {
	for kind, key := range sampleKeys() {
		for form, data := range privateForms(t, key) {
			got, err := LoadPrivateKey(write(t, "k", data), "")
			if err != nil {
				t.Errorf("%s, %s: %v", kind, form, err)
				continue
			}
			if !same(got.Public(), key.Public()) {
				t.Errorf("%s, %s: another key", kind, form)
			}
		}
	}
}

func TestPKCS12(t *testing.T) {
	key := sampleKeys()["p256"]
	leaf := certify(t, key, "leaf", nil)
	other := certify(t, sampleKeys()["p384"], "other", nil)
	for name, encoder := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern2023, "legacy": pkcs12.LegacyRC2} {
		data, err := encoder.WithIterations(10).Encode(key, leaf, []*x509.Certificate{other}, "secret of the file")
		if err != nil {
			t.Fatal(err)
		}
		path := write(t, "a.p12", data)
		pair, err := LoadPair(path, "", "secret of the file")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !same(pair.Key.Public(), key.Public()) || len(pair.Chain) != 2 || !pair.Chain[0].Equal(leaf) || !pair.Chain[1].Equal(other) {
			t.Errorf("%s: key or certificates differ", name)
		}
		_, err = LoadPrivateKey(path, "another")
		wantError(t, err, path, "has another password than the configuration")
		_, err = LoadPrivateKey(path, "")
		wantError(t, err, path, "needs a password; set key_password_file, or key_password")
		damaged := write(t, "a.p12", data[:40], bytes.Repeat([]byte{0}, len(data)-40))
		if _, err = LoadPrivateKey(damaged, "another"); err == nil || !strings.HasSuffix(err.Error(), "; write it again by openssl pkcs12 -export") {
			t.Errorf("%s, damaged: %v", name, err)
		}
	}
}

func TestPrivateKeysThatAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	x25519, _ := ecdh.X25519().GenerateKey(rand.Reader)
	good := pkcs8(t, sampleKeys()["ed25519"])
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"small RSA": {pkcs8(t, small), "the private key has an RSA key of 1024 bits, which is too short; use at least 2048"},
		"P-224":     {pkcs8(t, p224), "the private key has an ECDSA key on the curve P-224; use P-256, P-384 or P-521"},
		"X25519":    {pkcs8(t, x25519), "the private key is not one for signatures; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519"},
		"damaged":   {block("PRIVATE KEY", good[:len(good)-1]), "the private key is damaged, or of a kind that is not supported; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519"},
		"two keys":  {append(block("PRIVATE KEY", good), block("PRIVATE KEY", good)...), "holds 2 times what should be there once, a private key; keep the one to use"},
		"encrypted PEM": {[]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
			"holds an encrypted private key; decrypt it, since nobody can give a daemon its passphrase: (umask 077; openssl pkey -in FILE -out NEW)"},
		"encrypted PKCS#8": {block("ENCRYPTED PRIVATE KEY", []byte{48, 0}),
			"holds an encrypted private key; decrypt it, since nobody can give a daemon its passphrase: (umask 077; openssl pkey -in FILE -out NEW)"},
		"OpenSSH": {block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1")),
			"holds a private key in OpenSSH's own form; use one in PKCS#8, as openssl genpkey makes them"},
		"TPM": {block("TSS2 PRIVATE KEY", []byte{48, 0}),
			"holds a key that only a TPM can use; use a key in a file: TPM and PKCS#11 are not supported"},
	} {
		path := write(t, "k", c.data)
		_, err := LoadPrivateKey(path, "")
		t.Run(name, func(t *testing.T) { wantError(t, err, path, strings.ReplaceAll(c.want, "FILE", path)) })
	}
}
