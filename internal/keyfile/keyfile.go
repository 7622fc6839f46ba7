// Package keyfile reads private keys, certificates and public keys from files: PEM and DER of all
// usual forms, and PKCS#12. What a file is, its octets tell, not its name.
//
// Errors begin with the name of the file and end with the remedy. They contain nothing of a private
// key.
package keyfile

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"culvert/ike/certificate"
	"culvert/internal/readfile"
)

// Bounds of the size of a file in octets. All certificates of a system's store are a quarter of a
// million.
const (
	maxFile = 4 << 20
	maxCRL  = 32 << 20
	maxOCSP = 64 << 10
)

// A Pair is a private key and the certificates that go with it.
type Pair struct {
	Key crypto.Signer
	// Chain begins with the certificate of Key. The other certificates of the file follow in its
	// order.
	Chain []*x509.Certificate
}

// LoadPair reads a certificate and its private key from two files, or from one if key is empty.
// The password is for PKCS#12 files.
func LoadPair(cert, key, password string) (*Pair, error) {
	if key == "" {
		key = cert
	}
	chain, err := LoadCertificates(cert, password)
	if err != nil {
		return nil, err
	}
	signer, err := LoadPrivateKey(key, password)
	if err != nil {
		return nil, err
	}
	for i, c := range chain {
		if same(c.PublicKey, signer.Public()) {
			others := append(chain[:i:i], chain[i+1:]...)
			return &Pair{Key: signer, Chain: append([]*x509.Certificate{c}, others...)}, nil
		}
	}
	return nil, fmt.Errorf("%s holds the certificate of %s with the key %s, but %s holds the key %s; name the key that the certificate was made for",
		cert, certificate.Name(chain[0]), describe(chain[0].PublicKey), key, describe(signer.Public()))
}

// LoadPrivateKey reads the one private key of a file, which only its owner may be able to read. The
// password is for PKCS#12 files.
func LoadPrivateKey(path, password string) (crypto.Signer, error) {
	f, err := open(path, maxFile)
	if err != nil {
		return nil, err
	}
	it, err := f.one(privateKey, pkcs12File)
	if err != nil {
		return nil, err
	}
	var signer crypto.Signer
	if it.form == pkcs12File {
		signer, _, err = parsePKCS12(it.der, password)
	} else {
		signer, err = parsePrivate(it.der)
		clear(it.der)
	}
	return signer, f.because(err)
}

// LoadCertificates reads the certificates of a file, of which there is at least one. The password
// is for PKCS#12 files.
func LoadCertificates(path, password string) ([]*x509.Certificate, error) {
	f, err := open(path, maxFile)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, it := range f.items {
		var got []*x509.Certificate
		switch it.form {
		case x509Certificate:
			got, err = parseCertificate(it.der)
		case pkcs12File:
			_, got, err = parsePKCS12(it.der, password)
		}
		if err != nil {
			return nil, f.because(err)
		}
		certs = append(certs, got...)
	}
	if len(certs) == 0 {
		return nil, f.lacks(x509Certificate)
	}
	return certs, f.because(usable(certs))
}

// LoadPublicKey reads the one public key of a file.
func LoadPublicKey(path string) (crypto.PublicKey, error) {
	f, err := open(path, maxFile)
	if err != nil {
		return nil, err
	}
	it, err := f.one(publicKey, sshPublicKey)
	if err != nil {
		return nil, err
	}
	parse := parsePublic
	if it.form == sshPublicKey {
		parse = parseSSH
	}
	pub, err := parse(it.der)
	return pub, f.because(err)
}

// A file is a file that was split into its items.
type file struct {
	path  string
	items []item
}

// open reads a file of at most limit octets. One that holds something secret must be readable by
// its owner only.
func open(path string, limit int64) (file, error) {
	f := file{path: path}
	if strings.HasPrefix(path, "pkcs11:") || strings.Contains(path, "/pkcs11:") {
		return f, f.because(errors.New("names a PKCS#11 token, which is not supported; use a key in a file"))
	}
	data, mode, err := readfile.Whole(path, limit)
	if err != nil {
		return f, f.because(errors.New(readfile.Reason(err)))
	}
	return f, f.because(f.take(data, mode))
}

// take splits the contents of the file.
func (f *file) take(data []byte, mode fs.FileMode) (err error) {
	if len(data) == 0 {
		return errors.New("is empty")
	}
	if f.items, err = split(data); err != nil {
		return err
	}
	for _, it := range f.items {
		if it.form.secret() {
			return readfile.Private(f.path, mode)
		}
	}
	return nil
}

// because returns an error that names the file, or nil.
func (f file) because(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

// one returns the one item of the wanted form, or of another one that serves.
func (f file) one(wanted, other form) (item, error) {
	var found []item
	for _, it := range f.items {
		if it.form == wanted || it.form == other {
			found = append(found, it)
		}
	}
	switch len(found) {
	case 0:
		return item{}, f.lacks(wanted)
	case 1:
		return found[0], nil
	}
	return item{}, f.because(fmt.Errorf("holds %d times what should be there once, %s; keep the one to use", len(found), forms[wanted].name))
}

// lacks returns the error of a file that holds no item of the wanted form.
func (f file) lacks(wanted form) error {
	it := f.items[0]
	for _, other := range f.items {
		if forms[other.form].toward == wanted || it.form == parameters {
			it = other
		}
	}
	holds := forms[it.form]
	if holds.toward == wanted {
		return f.because(fmt.Errorf("holds %s; %s", holds.name, strings.ReplaceAll(holds.remedy, "FILE", f.path)))
	}
	want := forms[wanted].name
	return f.because(fmt.Errorf("holds %s, not %s; name the file that holds %s", holds.name, want, want))
}
