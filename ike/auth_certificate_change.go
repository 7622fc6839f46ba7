package ike

import (
	"crypto"
	"crypto/x509"

	"culvert/ike/certificate"
)

// What of Certificates a reload compares (peerSettings), in forms that are equal if the settings
// are. Without Certificates all of them are empty.

// chains returns our certificates.
func (c *Certificates) chains() (list []string) {
	for _, k := range c.own() {
		list = append(list, "") // where the next one begins
		for _, cert := range k.Chain {
			list = append(list, string(cert.Raw))
		}
	}
	return list
}

// publicKeys returns the public keys of our private ones.
func (c *Certificates) publicKeys() (list []string) {
	for _, k := range c.own() {
		list = append(list, encodeKey(k.Signer.Public()))
	}
	return list
}

func (c *Certificates) own() []OwnKey {
	if c == nil {
		return nil
	}
	return c.Own
}

// authorities returns those that are trusted.
func (c *Certificates) authorities() (list []string) {
	if c == nil {
		return nil
	}
	for _, ca := range c.Trust.Authorities() {
		list = append(list, string(ca.Raw))
	}
	return list
}

// pinned returns the keys of the peer that are trusted.
func (c *Certificates) pinned() (list []string) {
	if c == nil {
		return nil
	}
	for _, key := range c.RemoteKeys {
		list = append(list, encodeKey(key))
	}
	return list
}

func (c *Certificates) purpose() certificate.Purpose {
	if c == nil {
		return certificate.AnyPurpose
	}
	return c.Purpose
}

func (c *Certificates) preferences() certificate.Preferences {
	if c == nil {
		return certificate.Preferences{}
	}
	return c.Preferences
}

// encodeKey returns a public key of a kind that is supported in DER.
func encodeKey(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	return string(der)
}
