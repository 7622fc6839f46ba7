package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

var (
	octets = []byte("the octets to sign")
	all    = Announced([]wire.Payload{Announcement()})
)

// What each kind of key signs by, with and without RFC 7427, is what the other side verifies.
func TestSign(t *testing.T) {
	for name, tt := range map[string]struct {
		key    string
		peer   Hashes
		p      Preferences
		method wire.AuthMethod
		sent   algorithm // of Digital Signature
		err    string
	}{
		"RSA":                       {key: "rsa2048", peer: all, method: wire.AuthDigitalSignature, sent: algorithm{pss, SHA256}},
		"RSA, PKCS #1":              {key: "rsa2048", peer: all, p: Preferences{PKCS1: true}, method: wire.AuthDigitalSignature, sent: algorithm{pkcs1, SHA256}},
		"RSA, SHA-512 alone":        {key: "rsa2048", peer: 1 << SHA512, method: wire.AuthDigitalSignature, sent: algorithm{pss, SHA512}},
		"RSA, Identity alone":       {key: "rsa2048", peer: 1 << Identity, err: "no hash algorithm"},
		"RSA, old":                  {key: "rsa2048", method: wire.AuthRSASignature},
		"RSA, old with SHA-1":       {key: "rsa2048", p: Preferences{SHA1: true}, method: wire.AuthRSASignature},
		"P-256":                     {key: "p256", peer: all, method: wire.AuthDigitalSignature, sent: algorithm{dsaOnEC, SHA256}},
		"P-384":                     {key: "p384", peer: all, method: wire.AuthDigitalSignature, sent: algorithm{dsaOnEC, SHA384}},
		"P-521":                     {key: "p521", peer: all, method: wire.AuthDigitalSignature, sent: algorithm{dsaOnEC, SHA512}},
		"P-521, SHA-256 alone":      {key: "p521", peer: 1 << SHA256, method: wire.AuthDigitalSignature, sent: algorithm{dsaOnEC, SHA256}},
		"P-256, old":                {key: "p256", method: wire.AuthECDSAP256},
		"P-384, old":                {key: "p384", method: wire.AuthECDSAP384},
		"P-521, old":                {key: "p521", method: wire.AuthECDSAP521},
		"Ed25519":                   {key: "ed25519", peer: all, method: wire.AuthDigitalSignature, sent: algorithm{eddsa, Identity}},
		"Ed25519, without Identity": {key: "ed25519", peer: all &^ (1 << Identity), err: "does not support Ed25519"},
		"Ed25519, old":              {key: "ed25519", err: "does not support RFC 7427"},
	} {
		key := certtest.Key(t, tt.key)
		auth, err := Sign(key, octets, tt.peer, Methods{}, tt.p)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", name, err, tt.err)
			}
			continue
		}
		if err != nil || auth.Method != tt.method {
			t.Errorf("%s: %v, %v", name, auth, err)
			continue
		}
		if auth.Method == wire.AuthDigitalSignature {
			if a, err := parseIdentifier(auth.Data[1 : 1+auth.Data[0]]); err != nil || a != tt.sent {
				t.Errorf("%s: signed by %v, %v", name, a, err)
			}
		}
		if err := CheckAuth(key.Public(), octets, auth, tt.peer != 0, tt.p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := CheckAuth(key.Public(), []byte("other octets"), auth, tt.peer != 0, tt.p); !errors.Is(err, errSignature) {
			t.Errorf("%s, other octets: %v", name, err)
		}
	}
}

// card is a key that signs as its function says.
type card struct {
	crypto.Signer
	sign func(digest []byte) ([]byte, error)
}

func (c card) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return c.sign(digest)
}

// A key that fails, or signs nonsense, is an error and no more.
func TestSignFails(t *testing.T) {
	out := errors.New("the card is out")
	for name, tt := range map[string]struct {
		kind string
		peer Hashes
		sig  []byte
		err  error
		want string
	}{
		"no card":             {"p256", all, nil, out, "our key does not sign: the card is out"},
		"no card, old":        {"p256", 0, nil, out, "the card is out"},
		"no card, old RSA":    {"rsa2048", 0, nil, out, "the card is out"},
		"nonsense, old":       {"p256", 0, []byte{1, 2, 3}, nil, "malformed"},
		"r is too large, old": {"p256", 0, inASN1(append(append([]byte{1}, make([]byte, 33)...), make([]byte, 34)...)), nil, "malformed"},
		"r is negative, old":  {"p256", 0, unhex(t, "3006 0201 ff 0201 01"), nil, "malformed"},
	} {
		key := card{certtest.Key(t, tt.kind), func([]byte) ([]byte, error) { return tt.sig, tt.err }}
		if _, err := Sign(key, octets, tt.peer, Methods{}, Preferences{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(weak, octets, all, Methods{}, Preferences{}); err == nil || !strings.Contains(err.Error(), "our side has an ECDSA key on the curve P-224") {
		t.Errorf("P-224: %v", err)
	}
}

// Integers with leading zeros have their full length (RFC 4754, Section 7).
func TestFixedLength(t *testing.T) {
	sig, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(5), big.NewInt(0x80)})
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := fixedLength(sig, 32)
	if err != nil || len(fixed) != 64 || fixed[31] != 5 || fixed[63] != 0x80 {
		t.Fatalf("%x, %v", fixed, err)
	}
	if back := inASN1(fixed); string(back) != string(sig) {
		t.Errorf("%x, want %x", back, sig)
	}
}

func TestCanSign(t *testing.T) {
	ed, ec := certtest.Key(t, "ed25519").Public(), certtest.Key(t, "p256").Public()
	for _, tt := range []struct {
		key  crypto.PublicKey
		peer Hashes
		want bool
	}{
		{ed, all, true}, {ed, 0, false}, {ed, 1 | 1<<SHA256, false}, {ec, all, true}, {ec, 0, true}, {ec, 1 | 1<<Identity, false}, {ec, 1, false},
	} {
		if CanSign(tt.key, tt.peer) != tt.want {
			t.Errorf("%s for %b: %v", KeyName(tt.key), tt.peer, !tt.want)
		}
	}
}
