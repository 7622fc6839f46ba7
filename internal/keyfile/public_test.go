package keyfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
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
	path = write(t, "p", block("PUBLIC KEY", []byte{48, 0}))
	if _, err = LoadPublicKey(path); err == nil {
		t.Error("a damaged key was accepted")
	}
}

func TestCheckPublic(t *testing.T) {
	modulus := func(bits uint) *big.Int { return new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1) }
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	for _, c := range []struct {
		pub  any
		want string
	}{
		{&rsa.PublicKey{N: modulus(2048), E: 3}, ""},
		{&rsa.PublicKey{N: modulus(8192), E: 65537}, ""},
		{&rsa.PublicKey{N: modulus(2047), E: 65537}, "the RSA key has 2047 bits; use a key of 2048 to 8192 bits"},
		{&rsa.PublicKey{N: modulus(8193), E: 65537}, "the RSA key has 8193 bits; use a key of 2048 to 8192 bits"},
		{&rsa.PublicKey{N: modulus(2048), E: 1}, "the RSA key has the public exponent 1; use a key with 65537"},
		{&rsa.PublicKey{N: modulus(2048), E: 65536}, "the RSA key has the public exponent 65536; use a key with 65537"},
		{p224.Public(), "the ECDSA key is on P-224; use a key on P-256, P-384 or P-521"},
		{"a text", "the kind of key is not supported; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519"},
		{nil, "the kind of key is not supported; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519"},
	} {
		got := ""
		if err := CheckPublic(c.pub); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%T: %q, want %q", c.pub, got, c.want)
		}
	}
	for kind, key := range sampleKeys() {
		if err := CheckPublic(key.Public()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	for kind, want := range map[string]string{
		"rsa": "RSA key of 2048 bits", "p256": "ECDSA key on P-256", "p521": "ECDSA key on P-521", "ed25519": "Ed25519 key",
	} {
		got := describe(sampleKeys()[kind].Public())
		if !regexp.MustCompile("^" + want + ` \(SHA-256 [0-9a-f]{12}\.\.\.\)$`).MatchString(got) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
