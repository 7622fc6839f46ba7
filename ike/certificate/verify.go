package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// IsSignature reports whether an authentication method is one that CheckAuth knows.
func IsSignature(m wire.AuthMethod) bool {
	return slices.Contains([]wire.AuthMethod{
		wire.AuthRSASignature, wire.AuthECDSAP256, wire.AuthECDSAP384, wire.AuthECDSAP521, wire.AuthDigitalSignature,
	}, m)
}

var errSignature = errors.New("its signature is wrong")

// CheckAuth returns why an AUTH payload is not a signature by the key over the octets, or nil.
// announced reports whether both sides sent SIGNATURE_HASH_ALGORITHMS: then the method must be
// Digital Signature, and otherwise it must not (RFC 7427, Section 3).
func CheckAuth(key crypto.PublicKey, octets []byte, auth *wire.Auth, announced bool, p Preferences) error {
	if err := CheckKey(key); err != nil {
		return fmt.Errorf("the peer %w", err)
	}
	switch digital := auth.Method == wire.AuthDigitalSignature; {
	case !IsSignature(auth.Method):
		return fmt.Errorf("it authenticates with %v, not by a signature", auth.Method)
	case digital && !announced:
		return errors.New("it authenticates with Digital Signature (RFC 7427), but sent no SIGNATURE_HASH_ALGORITHMS")
	case !digital && announced:
		return fmt.Errorf("it authenticates with %v, but announced RFC 7427, which replaces that", auth.Method)
	case digital:
		return checkDigital(key, octets, auth.Data)
	}
	return checkOld(key, octets, auth, p)
}

// CheckPinned returns why an AUTH payload is not a signature by one of the keys that a peer may
// have, or nil. A key that the peer sends is a hint for people, no more (RFC 7670, Section 2).
func CheckPinned(keys []crypto.PublicKey, sent *Sent, octets []byte, auth *wire.Auth, announced bool, p Preferences) error {
	var err error
	for _, key := range keys {
		if err = CheckAuth(key, octets, auth, announced, p); err == nil {
			return nil
		}
	}
	theirs := sent.RawKey
	if theirs == nil && sent.Leaf != nil {
		theirs = sent.Leaf.PublicKey
	}
	known := theirs == nil || slices.ContainsFunc(keys, func(key crypto.PublicKey) bool { return equal(key, theirs) })
	switch {
	case !known:
		return fmt.Errorf("its key (%s) is not the one in remote_key", KeyName(theirs))
	case len(keys) > 1:
		return errors.New("it does not sign by any of the keys in remote_key")
	}
	return fmt.Errorf("by the key in remote_key: %w", err)
}

// checkDigital checks the data of Digital Signature.
func checkDigital(key crypto.PublicKey, octets, data []byte) error {
	if len(data) == 0 || len(data) < 1+int(data[0]) {
		return errIdentifier
	}
	id, sig := data[1:1+int(data[0])], data[1+int(data[0]):]
	a, err := parseIdentifier(id)
	switch {
	case err != nil:
		return err
	case !slices.Contains(supported, a.hash):
		return fmt.Errorf("it signs by %s, which is not accepted; have the peer sign with SHA2-256", a)
	}
	return a.check(key, octets, sig)
}

// check returns why sig is not a signature by the key, or nil.
func (a algorithm) check(key crypto.PublicKey, octets, sig []byte) error {
	good := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch a.kind {
		case pkcs1:
			good = rsa.VerifyPKCS1v15(key, a.hash.function(), a.hash.of(octets), sig) == nil
		case pss:
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			good = rsa.VerifyPSS(key, a.hash.function(), a.hash.of(octets), sig, opts) == nil
		default:
			return a.doesNotFit(key)
		}
	case *ecdsa.PublicKey:
		if a.kind != dsaOnEC {
			return a.doesNotFit(key)
		}
		good = ecdsa.VerifyASN1(key, a.hash.of(octets), sig)
	case ed25519.PublicKey:
		if a.kind != eddsa {
			return a.doesNotFit(key)
		}
		good = ed25519.Verify(key, octets, sig)
	}
	if !good {
		return errSignature
	}
	return nil
}

func (a algorithm) doesNotFit(key crypto.PublicKey) error {
	return fmt.Errorf("it signs by %s, but its key is %s", a, KeyName(key))
}

// checkOld checks the data of a method from before RFC 7427. That of RSA leaves the hash open: the
// signature tells it.
func checkOld(key crypto.PublicKey, octets []byte, auth *wire.Auth, p Preferences) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if auth.Method != wire.AuthRSASignature {
			break
		}
		for _, h := range []Hash{SHA256, SHA512, SHA384} {
			if (algorithm{pkcs1, h}).check(key, octets, auth.Data) == nil {
				return nil
			}
		}
		err := algorithm{pkcs1, SHA1}.check(key, octets, auth.Data)
		if err == nil && !p.SHA1 {
			return errors.New("it signs with SHA1, which is not accepted; have the peer use RFC 7427 or SHA2-256, or allow it by rsa_sha1")
		}
		return err
	case *ecdsa.PublicKey:
		c := curves[key.Curve]
		if auth.Method != wire.AuthMethod(c.method) {
			break
		}
		if len(auth.Data) != 2*c.size {
			return fmt.Errorf("its signature has %d octets, want %d", len(auth.Data), 2*c.size)
		}
		return algorithm{dsaOnEC, c.hash}.check(key, octets, inASN1(auth.Data))
	}
	return fmt.Errorf("it authenticates with %v, but its key is %s", auth.Method, KeyName(key))
}
