package keyfile

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"culvert/ike/certificate"
	"culvert/internal/readfile"
)

// LoadCAs reads the certificates of CAs from a file or from all files of a folder whose names end
// with one of extensions.
func LoadCAs(path string) ([]*x509.Certificate, error) {
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = inFolder(path); err != nil {
			return nil, file{path: path}.because(err)
		}
	}
	var all []*x509.Certificate
	for _, name := range files {
		certs, err := LoadCertificates(name, "")
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			if err := authority(c); err != nil {
				return nil, file{path: name}.because(err)
			}
			if !slices.ContainsFunc(all, func(have *x509.Certificate) bool { return bytes.Equal(have.Raw, c.Raw) }) {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// extensions are the ends of the names of files in a folder of CAs.
var extensions = []string{".pem", ".crt", ".cer", ".der"}

// inFolder returns the names of the certificate files in a folder.
func inFolder(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, errors.New(readfile.Reason(err))
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains(extensions, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("holds no file whose name ends with one of %q; add the certificate of a CA", extensions)
	}
	return files, nil
}

// authority returns an error if the certificate is not one of a CA (RFC 5280, Section 4.2.1.9). Of
// version 1, which has no extensions, are old roots.
func authority(c *x509.Certificate) error {
	switch {
	case c.IsCA || c.Version < 3:
		return nil
	case bytes.Equal(c.RawIssuer, c.RawSubject):
		return fmt.Errorf("the certificate of %s is not one of a CA; to trust this one key, give it as remote_key", certificate.Name(c))
	}
	return fmt.Errorf("the certificate of %s is not one of a CA; name the certificate of its issuer, %s", certificate.Name(c), certificate.Issuer(c))
}

// parseCertificate returns the certificate of an item. Another signed structure of the same shape
// is told apart.
func parseCertificate(der []byte) ([]*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return []*x509.Certificate{c}, nil
	}
	if _, crlErr := x509.ParseRevocationList(der); crlErr == nil {
		return nil, errors.New("holds a certificate revocation list, not a certificate; name it in crl")
	}
	if _, requestErr := x509.ParseCertificateRequest(der); requestErr == nil {
		return nil, errors.New("holds a certificate request, not a certificate; have it signed by a CA")
	}
	return nil, fmt.Errorf("the certificate cannot be read: %w", err)
}

// usable returns an error if the key of one of the certificates is not supported.
func usable(certs []*x509.Certificate) error {
	for _, c := range certs {
		if err := certificate.CheckKey(c.PublicKey); err != nil {
			return fmt.Errorf("the certificate of %s %w", certificate.Name(c), err)
		}
	}
	return nil
}
