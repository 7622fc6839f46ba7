package certificate

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"culvert/internal/certtest"
)

// rsaOf returns a public key with a modulus of some bits, whose private key nobody has.
func rsaOf(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: exponent}
}

func TestCheckKey(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	even := rsaOf(2048, 65537)
	even.N.SetBit(even.N, 0, 0)
	for name, tt := range map[string]struct {
		key  crypto.PublicKey
		want string
	}{
		"2048 bits":       {rsaOf(2048, 65537), ""},
		"8192 bits":       {rsaOf(8192, 3), ""},
		"1024 bits":       {rsaOf(1024, 65537), "has an RSA key of 1024 bits, which is too short; use at least 2048"},
		"2047 bits":       {rsaOf(2047, 65537), "of 2047 bits, which is too short"},
		"8193 bits":       {rsaOf(8193, 65537), "of 8193 bits, which takes too long to verify; use at most 8192"},
		"an even modulus": {even, "unusual modulus or exponent"},
		"exponent 1":      {rsaOf(2048, 1), "unusual modulus or exponent (1)"},
		"exponent 4":      {rsaOf(2048, 4), "unusual modulus or exponent (4)"},
		"exponent 65539":  {rsaOf(2048, 65539), "unusual modulus or exponent (65539)"},
		"P-256":           {certtest.Key(t, "p256").Public(), ""},
		"P-384":           {certtest.Key(t, "p384").Public(), ""},
		"P-521":           {certtest.Key(t, "p521").Public(), ""},
		"P-224":           {p224.Public(), "on the curve P-224; use P-256"},
		"Ed25519":         {certtest.Key(t, "ed25519").Public(), ""},
		"short Ed25519":   {ed25519.PublicKey("short"), "unsupported kind"},
		"X25519":          {&ecdh.PublicKey{}, "unsupported kind"},
		"none":            {nil, "unsupported kind"},
	} {
		err := CheckKey(tt.key)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Keys of small order verify a signature without a private key for one message in eight at least.
// All of them are refused, with either sign, and no other key.
func TestSmallOrder(t *testing.T) {
	universal := append([]byte{1}, make([]byte, 63)...) // R is the neutral point, S is 0
	for _, y := range smallOrders {
		for _, sign := range []byte{0, 0x80} {
			key := append(ed25519.PublicKey(nil), y...)
			key[31] |= sign
			forged := 0
			for n := range 256 {
				if ed25519.Verify(key, []byte{byte(n)}, universal) {
					forged++
				}
			}
			// Where x is 0, for the orders 1 and 2, there is no point with the other sign.
			if forged == 0 && sign == 0 {
				t.Errorf("%x has no small order", key)
			}
			if err := CheckKey(key); err == nil || !strings.Contains(err.Error(), "everybody can make signatures") {
				t.Errorf("%x: %v", key, err)
			}
		}
		near := append(ed25519.PublicKey(nil), y...)
		near[0] ^= 0x10
		if err := CheckKey(near); err != nil {
			t.Errorf("%x: %v", near, err)
		}
	}
}

func TestKeyName(t *testing.T) {
	for want, key := range map[string]crypto.PublicKey{
		"RSA-3072": rsaOf(3072, 65537), "ECDSA P-384": certtest.Key(t, "p384").Public(), "Ed25519": certtest.Key(t, "ed25519").Public(), "*ecdh.PublicKey": &ecdh.PublicKey{},
	} {
		if got := KeyName(key); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestEqual(t *testing.T) {
	a, b := certtest.Key(t, "p256").Public(), certtest.Key(t, "p256").Public()
	if !equal(a, a) || equal(a, b) || equal(a, rsaOf(2048, 3)) || equal(nil, a) || equal(a, nil) {
		t.Error("keys are told apart wrongly")
	}
}
