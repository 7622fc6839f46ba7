package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// sampleKeys are keys of each supported kind.
var sampleKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := make(map[string]crypto.Signer)
	keys["rsa"], _ = rsa.GenerateKey(rand.Reader, 2048)
	keys["p256"], _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys["p384"], _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	keys["p521"], _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, keys["ed25519"], _ = ed25519.GenerateKey(rand.Reader)
	return keys
})

// certify returns the certificate of a key, signed by itself; change changes the template.
func certify(t testing.TB, key crypto.Signer, name string, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(3e9, 0),
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// block returns a PEM block.
func block(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func spki(t testing.TB, pub any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// write writes a file that only its owner may read, and returns its name.
func write(t testing.TB, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, slices.Concat(parts...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantError checks that an error is that of a file, with this text.
func wantError(t *testing.T, err error, path, want string) {
	t.Helper()
	if err == nil || err.Error() != path+": "+want {
		t.Errorf("got  %v\nwant %s: %s", err, path, want)
	}
}
