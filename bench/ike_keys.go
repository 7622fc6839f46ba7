package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"time"
)

// An ikeAuth is how both sides of a handshake authenticate: by a pre-shared key, or by certificates
// that an intermediate authority has issued.
type ikeAuth struct {
	name string
	key  func() (crypto.Signer, error) // nil: a pre-shared key
}

var ikeAuths = []ikeAuth{
	{"PSK", nil},
	{"ECDSA P-256", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	{"RSA-3072", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 3072) }},
}

const ikePSK = "a benchmark's secret"

// An ikePKI is a root, an intermediate authority, and the keys of two sides.
type ikePKI struct {
	root, inter issued
	sides       [2]crypto.Signer // client and server
}

// An issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newPKI makes the authorities and keys of a way to authenticate, or nil for a pre-shared key.
func (a ikeAuth) newPKI() (p *ikePKI, err error) {
	if a.key == nil {
		return nil, nil
	}
	var keys []crypto.Signer
	for range 4 {
		key, err := a.key()
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	p = &ikePKI{sides: [2]crypto.Signer(keys[2:])}
	if p.root, err = issue(issued{key: keys[0]}, "root", keys[0]); err != nil {
		return nil, err
	}
	p.inter, err = issue(p.root, "intermediate", keys[1])
	return p, err
}

// leaf issues the certificate of a host.
func (p *ikePKI) leaf(name string, side int) (*x509.Certificate, error) {
	c, err := issue(p.inter, name, p.sides[side], name)
	return c.cert, err
}

// issue signs a certificate: an authority's without names, and a self-signed one if by has none.
func issue(by issued, subject string, key crypto.Signer, names ...string) (issued, error) {
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: subject}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(60 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if len(names) == 0 {
		c.KeyUsage, c.IsCA = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, true
	}
	issuer := by.cert
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), by.key)
	if err != nil {
		return issued{}, err
	}
	made, err := x509.ParseCertificate(der)
	return issued{made, key}, err
}

// certsPEM returns certificates as a file.
func certsPEM(list ...*x509.Certificate) []byte {
	var files [][]byte
	for _, c := range list {
		files = append(files, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return slices.Concat(files...)
}

// keyPEM returns a private key as a file.
func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
