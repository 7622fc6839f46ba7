package keyfile

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"regexp"
	"testing"
)

func TestPublicKeysOfAllForms(t *testing.T) {
	for kind, key := range sampleKeys() {
		der := spki(t, key.Public())
		files := [][]byte{der, block("PUBLIC KEY", der)}
		if k, ok := key.(*rsa.PrivateKey); ok {
			der := x509.MarshalPKCS1PublicKey(&k.PublicKey)
			files = append(files, der, block("RSA PUBLIC KEY", der))
		}
		for _, data := range files {
			got, err := LoadPublicKey(write(t, "p", data))
			if err != nil || !same(got, key.Public()) {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestPublicKeysThatAreRefused(t *testing.T) {
	path := write(t, "p", block("CERTIFICATE", certify(t, sampleKeys()["p256"], "a", nil).Raw))
	_, err := LoadPublicKey(path)
	wantError(t, err, path, "holds a certificate, not a public key; name the file that holds a public key")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	path = write(t, "p", spki(t, small.Public()))
	_, err = LoadPublicKey(path)
	wantError(t, err, path, "the public key has an RSA key of 1024 bits, which is too short; use at least 2048")
	path = write(t, "p", block("PUBLIC KEY", []byte{48, 0}))
	if _, err = LoadPublicKey(path); err == nil {
		t.Error("a damaged key was accepted")
	}
}

func TestDescribe(t *testing.T) {
	for kind, want := range map[string]string{
		"rsa": "RSA-2048", "p256": "ECDSA P-256", "p521": "ECDSA P-521", "ed25519": "Ed25519",
	} {
		got := describe(sampleKeys()[kind].Public())
		if !regexp.MustCompile("^" + want + ` \(SHA-256 [0-9a-f]{12}\.\.\.\)$`).MatchString(got) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
