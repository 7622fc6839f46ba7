package keyfile

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// parsePrivate returns a private key from DER: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017, Appendix A.1.2)
// or SEC 1 (RFC 5915).
func parsePrivate(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if k, rsaErr := x509.ParsePKCS1PrivateKey(der); rsaErr == nil {
			key, err = k, nil
		} else if k, ecErr := x509.ParseECPrivateKey(der); ecErr == nil {
			key, err = k, nil
		}
	}
	if err != nil {
		// The errors of crypto/x509 are not passed on: nothing promises that they hold nothing of
		// the key.
		return nil, errors.New("the private key is damaged, or of a kind that is not supported; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")
	}
	return asSigner(key)
}

// asSigner returns a key that crypto/x509 has parsed, if it can be used to sign.
func asSigner(key any) (crypto.Signer, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key is not one for signatures; use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")
	}
	return signer, checkKey("private", signer.Public())
}

// parsePKCS12 returns the private key and the certificates of a PKCS#12 file (RFC 7292).
func parsePKCS12(der []byte, password string) (crypto.Signer, []*x509.Certificate, error) {
	key, leaf, others, err := pkcs12.DecodeChain(der, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword) && password == "":
		return nil, nil, errors.New("needs a password; set key_password_file, or key_password")
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, nil, errors.New("has another password than the configuration")
	case err != nil:
		return nil, nil, fmt.Errorf("cannot be read (%w); write it again by openssl pkcs12 -export", err)
	}
	signer, err := asSigner(key)
	return signer, append([]*x509.Certificate{leaf}, others...), err
}
