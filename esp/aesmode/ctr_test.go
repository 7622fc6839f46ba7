package aesmode

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

func TestCTRVectors(t *testing.T) {
	for _, f := range vectors(t, "rfc3686.txt", 9) {
		c, err := NewCTR(unhex(t, f[0]))
		if err != nil {
			t.Fatal(err)
		}
		nonce, text := unhex(t, f[1]+f[2]), unhex(t, f[3])
		var w Work
		c.XOR(&w, nonce, text)
		if want := unhex(t, f[4]); !bytes.Equal(text, want) {
			t.Errorf("encrypted\n%x, want\n%x", text, want)
		}
	}
}

// Every length around the blocks, of which only some go through GCM, and long ones.
func TestCTRAgainstStandard(t *testing.T) {
	lengths := []int{1400, 1408, 9000, 65535}
	for n := range 200 {
		lengths = append(lengths, n)
	}
	for _, keyLen := range []int{16, 24, 32} {
		c, err := NewCTR(octets(keyLen))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := aes.NewCipher(octets(keyLen))
		nonce := octets(30)[18:]
		var w Work
		for _, n := range lengths {
			buf := octets(n + 40)
			c.XOR(&w, nonce, buf[:n]) // the capacity is that of more
			want := octets(n + 40)
			cipher.NewCTR(block, append(bytes.Clone(nonce), 0, 0, 0, 1)).XORKeyStream(want[:n], want[:n])
			if !bytes.Equal(buf, want) {
				t.Fatalf("key of %d octets, text of %d:\n%x, want\n%x", keyLen, n, buf, want)
			}
		}
	}
}

func TestKeyLengths(t *testing.T) {
	for n := range 40 {
		_, ctr := NewCTR(make([]byte, n))
		_, ccm := NewCCM(make([]byte, n), 16)
		_, gcm := NewShortGCM(make([]byte, n), 8)
		good := n == 16 || n == 24 || n == 32
		if (ctr == nil) != good || (ccm == nil) != good || (gcm == nil) != good {
			t.Errorf("%d octets: %v, %v, %v", n, ctr, ccm, gcm)
		}
	}
}
