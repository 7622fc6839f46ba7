package aesmode

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"
)

func TestShortGCMAgainstStandard(t *testing.T) {
	for _, tagLen := range []int{8, 12} {
		for n := range 80 {
			key, nonce, aad, text := octets(16+n%3*8), octets(12), octets(n%21), octets(n)
			m, err := NewShortGCM(key, tagLen)
			if err != nil {
				t.Fatal(err)
			}
			if m.NonceLen() != 12 || m.TagLen() != tagLen {
				t.Fatalf("nonces of %d octets, tags of %d", m.NonceLen(), m.TagLen())
			}
			block, _ := aes.NewCipher(key)
			g, _ := cipher.NewGCMWithTagSize(block, 12)
			want := g.Seal(nil, nonce, text, aad) // a shorter tag is the beginning of a longer one
			checkMode(t, fmt.Sprintf("GCM-%d", tagLen), m, nonce, text, aad, want[:n+tagLen])
		}
	}
}

// What a forgery decrypts to does not stay in the working space.
func TestShortGCMForgetsForgeries(t *testing.T) {
	m, _ := NewShortGCM(octets(16), 8)
	var w Work
	text, tag := octets(100), make([]byte, 8)
	m.Seal(&w, octets(12), text, nil, tag)
	tag[0] ^= 1
	if m.Open(&w, octets(12), text, nil, tag) {
		t.Fatal("a forgery was opened")
	}
	for i, c := range w.text[:100] {
		if c != 0 {
			t.Fatalf("octet %d is %#x", i, c)
		}
	}
}

func TestShortGCMTagLengths(t *testing.T) {
	for n := range 20 {
		if _, err := NewShortGCM(octets(16), n); (err == nil) != (n == 8 || n == 12) {
			t.Errorf("a tag of %d octets: %v", n, err)
		}
	}
}
