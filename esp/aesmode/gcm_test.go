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

func TestShortGCMTagLengths(t *testing.T) {
	for n := range 20 {
		if _, err := NewShortGCM(octets(16), n); (err == nil) != (n == 8 || n == 12) {
			t.Errorf("a tag of %d octets: %v", n, err)
		}
	}
}
