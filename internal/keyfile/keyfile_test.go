package keyfile

import (
	"os"
	"strings"
	"testing"
)

func TestLoadPair(t *testing.T) {
	key := sampleKeys()["p384"]
	ca := certify(t, sampleKeys()["p256"], "ca", nil)
	leaf := certify(t, key, "leaf", nil)
	last := certify(t, sampleKeys()["rsa"], "last", nil)
	var chain []byte
	for _, c := range []string{"ca", "leaf", "last"} {
		raw := map[string][]byte{"ca": ca.Raw, "leaf": leaf.Raw, "last": last.Raw}[c]
		chain = append(append(chain, "# "+c+"\n"...), block("CERTIFICATE", raw)...)
	}
	secret := block("PRIVATE KEY", pkcs8(t, key))
	two := write(t, "chain.pem", chain)
	one := write(t, "both.pem", secret, chain)
	for _, c := range [][2]string{{two, write(t, "leaf.key", secret)}, {one, ""}, {one, one}} {
		pair, err := LoadPair(c[0], c[1], "")
		if err != nil {
			t.Fatal(err)
		}
		if !same(pair.Key.Public(), key.Public()) || names(pair.Chain) != "leaf ca last" {
			t.Errorf("%v: the chain is %s", c, names(pair.Chain))
		}
	}
}

// A pair that does not match names both files, and what each holds.
func TestPairsThatAreRefused(t *testing.T) {
	cert := write(t, "c.pem", block("CERTIFICATE", certify(t, sampleKeys()["p384"], "leaf", nil).Raw))
	key := write(t, "k.pem", block("PRIVATE KEY", pkcs8(t, sampleKeys()["rsa"])))
	_, err := LoadPair(cert, key, "")
	if err == nil {
		t.Fatal("another key was accepted")
	}
	for _, want := range []string{cert + ` holds the certificate of CN=leaf with the key ECDSA P-384 (SHA-256 `, ", but " + key + " holds the key RSA-2048 (SHA-256 "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	_, err = LoadPair(cert, "", "")
	wantError(t, err, cert, "holds a certificate, not a private key; name the file that holds a private key")
	_, err = LoadPair(key, cert, "")
	wantError(t, err, key, "holds a private key, not a certificate; name the file that holds a certificate")
	_, err = LoadPair(cert, cert+"x", "")
	wantError(t, err, cert+"x", "no such file")
}

// A file with a private key is refused if others may read it, for whichever purpose it is read.
func TestExposedKeysAreRefused(t *testing.T) {
	key := sampleKeys()["p256"]
	certs := block("CERTIFICATE", certify(t, key, "leaf", nil).Raw)
	for _, secret := range [][]byte{block("PRIVATE KEY", pkcs8(t, key)), block("ENCRYPTED PRIVATE KEY", []byte{48, 0}), block("OPENSSH PRIVATE KEY", nil)} {
		path := write(t, "both.pem", certs, secret)
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		const want = "must be readable by its owner only, but has mode 0640; run chmod 600 "
		_, err := LoadPrivateKey(path, "")
		wantError(t, err, path, want+path)
		_, err = LoadCertificates(path, "")
		wantError(t, err, path, want+path)
	}
	public := write(t, "c.pem", certs)
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificates(public, ""); err != nil {
		t.Error(err)
	}
}

func TestTokensAreRefused(t *testing.T) {
	for _, path := range []string{"pkcs11:token=a;object=b", "/etc/culvert/pkcs11:object=b"} {
		_, err := LoadPrivateKey(path, "")
		wantError(t, err, path, "names a PKCS#11 token, which is not supported; use a key in a file")
	}
}

func TestLargeFilesAreRefused(t *testing.T) {
	path := write(t, "large", make([]byte, maxFile+1))
	_, err := LoadPrivateKey(path, "")
	wantError(t, err, path, "is larger than the limit of 4194304 octets")
}
