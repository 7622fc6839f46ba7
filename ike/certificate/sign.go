package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"culvert/ike/wire"
)

// Preferences are what a side chooses about its signatures, and accepts of those of the peer. The
// zero value is the best choice for current peers.
type Preferences struct {
	// PKCS1 has RSA keys sign with RSASSA-PKCS1-v1_5, for peers that lack RSASSA-PSS. All accept
	// both: "RSASSA-PSS MUST be supported" (RFC 8247, Section 3.2).
	PKCS1 bool
	// SHA1 allows SHA-1 with the old method of RSA, RSA Digital Signature, which RFC 7296, Section
	// 3.8 has as its default: for peers without RFC 7427. Whoever finds collisions of SHA-1 within
	// the time of a handshake could impersonate either side.
	SHA1 bool
}

// Sign returns the AUTH payload by a key over the octets to sign. peer are the hash algorithms that
// the peer has announced, after we announced ours: it "MUST pick one algorithm sent by the other
// peer" (RFC 7427, Section 4). If there are none, it is one of the old methods. Of several
// algorithms the first is used that is among the methods that the peer has announced.
func Sign(key crypto.Signer, octets []byte, peer Hashes, m Methods, p Preferences) (*wire.Auth, error) {
	if err := CheckKey(key.Public()); err != nil {
		return nil, fmt.Errorf("our side %w", err)
	}
	if peer == 0 {
		return signOld(key, octets, p)
	}
	a, err := choose(key.Public(), peer, m, p)
	if err != nil {
		return nil, err
	}
	sig, err := a.sign(key, octets)
	if err != nil {
		return nil, err
	}
	id := a.identifier()
	return &wire.Auth{Method: wire.AuthDigitalSignature, Data: append(append([]byte{byte(len(id))}, id...), sig...)}, nil
}

// CanSign reports whether a key has an algorithm that a peer supports, which has announced these
// hash algorithms.
func CanSign(key crypto.PublicKey, peer Hashes) bool {
	if _, ed := key.(ed25519.PublicKey); ed || peer != 0 {
		_, err := algorithms(key, peer, Preferences{})
		return err == nil
	}
	return true
}

// choose returns the algorithm for a key: the first one that is among the methods, or else the
// first one.
func choose(key crypto.PublicKey, peer Hashes, m Methods, p Preferences) (algorithm, error) {
	list, err := algorithms(key, peer, p)
	if err != nil {
		return algorithm{}, err
	}
	return list[max(slices.IndexFunc(list, m.digital), 0)], nil
}

// algorithms returns those of a key whose hashes the peer has, the best first: the hash that suits
// the strength of the key, then the others. The error is nil if there are any.
func algorithms(key crypto.PublicKey, peer Hashes, p Preferences) (list []algorithm, err error) {
	kinds, best := []kind{dsaOnEC}, SHA256
	switch key := key.(type) {
	case ed25519.PublicKey:
		if !peer.Has(Identity) {
			return nil, errors.New("the peer does not support Ed25519 (it announces no Identity in SIGNATURE_HASH_ALGORITHMS); use an ECDSA or RSA key for it")
		}
		return []algorithm{{eddsa, Identity}}, nil
	case *ecdsa.PublicKey:
		best = curves[key.Curve].hash
	case *rsa.PublicKey:
		if kinds = []kind{pss, pkcs1}; p.PKCS1 {
			kinds = []kind{pkcs1, pss}
		}
	}
	for _, k := range kinds {
		for _, h := range []Hash{best, SHA256, SHA512, SHA384} {
			if peer.Has(h) {
				list = append(list, algorithm{k, h})
			}
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the peer announces no hash algorithm in SIGNATURE_HASH_ALGORITHMS that our key can use; have it support SHA2-256")
	}
	return list, nil
}

func (a algorithm) sign(key crypto.Signer, octets []byte) ([]byte, error) {
	var opts crypto.SignerOpts = a.hash.function()
	if a.kind == pss {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash.function()}
	}
	sig, err := key.Sign(rand.Reader, a.hash.of(octets), opts)
	if err != nil {
		return nil, fmt.Errorf("our key does not sign: %w", err)
	}
	return sig, nil
}

// oldMethod returns the method of a key from before RFC 7427, 0 if there is none.
func oldMethod(key crypto.PublicKey) wire.AuthMethod {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return wire.AuthRSASignature
	case *ecdsa.PublicKey:
		return wire.AuthMethod(curves[key.Curve].method)
	}
	return 0
}

// signOld returns the AUTH payload by a method from before RFC 7427.
func signOld(key crypto.Signer, octets []byte, p Preferences) (*wire.Auth, error) {
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		a := algorithm{pkcs1, SHA256}
		if p.SHA1 {
			a.hash = SHA1
		}
		sig, err := a.sign(key, octets)
		return &wire.Auth{Method: wire.AuthRSASignature, Data: sig}, err
	case *ecdsa.PublicKey:
		c := curves[pub.Curve]
		sig, err := algorithm{dsaOnEC, c.hash}.sign(key, octets)
		if err != nil {
			return nil, err
		}
		fixed, err := fixedLength(sig, c.size)
		return &wire.Auth{Method: wire.AuthMethod(c.method), Data: fixed}, err
	}
	return nil, errors.New("the peer does not support RFC 7427 (it sent no SIGNATURE_HASH_ALGORITHMS), which an Ed25519 key needs; use an ECDSA or RSA key for it")
}

// fixedLength returns an ECDSA signature as r and s of size octets each (RFC 4754, Section 7).
func fixedLength(sig []byte, size int) ([]byte, error) {
	input := cryptobyte.String(sig)
	var both cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if !input.ReadASN1(&both, casn1.SEQUENCE) || !input.Empty() || !both.ReadASN1Integer(r) || !both.ReadASN1Integer(s) || !both.Empty() ||
		r.Sign() < 0 || s.Sign() < 0 || r.BitLen() > 8*size || s.BitLen() > 8*size {
		return nil, errors.New("our key does not sign: its signature is malformed")
	}
	fixed := make([]byte, 2*size)
	r.FillBytes(fixed[:size])
	s.FillBytes(fixed[size:])
	return fixed, nil
}

// inASN1 returns a signature of fixedLength in ASN.1.
func inASN1(fixed []byte) []byte {
	size := len(fixed) / 2
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(fixed[:size]))
		b.AddASN1BigInt(new(big.Int).SetBytes(fixed[size:]))
	})
	return b.BytesOrPanic()
}
