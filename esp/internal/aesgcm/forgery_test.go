package aesgcm

import (
	"bytes"
	"crypto/cipher"
	"testing"
)

// TestForgeries: a flip of any authenticated bit is refused, and leaves nothing of the plaintext.
func TestForgeries(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		a := way(t, sample(1, 16))
		for _, n := range []int{0, 1, 15, 16, 24, 64, 100, 255, 256, 300, 530, 800} {
			for _, aadLen := range []int{8, 12, 20} {
				nonce, aad := sample(2, nonceLen), sample(3, aadLen)
				sealed := a.Seal(nil, nonce, bytes.Repeat([]byte{0xff}, n), aad)
				for name, part := range map[string][]byte{"nonce": nonce, "additional data": aad, "ciphertext or tag": sealed} {
					for bit := range len(part) * 8 {
						part[bit/8] ^= 1 << (bit % 8)
						refused(t, a, nonce, sealed, aad, name, bit)
						part[bit/8] ^= 1 << (bit % 8)
					}
				}
			}
		}
	})
}

// refused checks that a packet is refused, out of place and in place, and that the output is
// cleared.
func refused(t *testing.T, a cipher.AEAD, nonce, sealed, aad []byte, name string, bit int) {
	t.Helper()
	n := len(sealed) - tagLen
	apart, inPlace := bytes.Repeat([]byte{canary}, n), bytes.Clone(sealed)
	for i, dst := range [][]byte{apart, inPlace} {
		src := sealed
		if i == 1 {
			src = inPlace
		}
		got, err := a.Open(dst[:0], nonce, src, aad)
		if err == nil || got != nil {
			t.Fatalf("%d octets: bit %d of %s changed: opened as %x, %v", n, bit, name, got, err)
		}
		if !bytes.Equal(dst[:n], make([]byte, n)) {
			t.Fatalf("%d octets: bit %d of %s changed: left behind\n%x", n, bit, name, dst[:n])
		}
	}
	if !bytes.Equal(inPlace[n:], sealed[n:]) {
		t.Fatalf("%d octets: the tag was changed", n)
	}
}

// TestCutShort: no truncated or extended text is opened.
func TestCutShort(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		a := way(t, sample(1, 32))
		nonce, aad := sample(2, nonceLen), sample(3, 12)
		sealed := append(a.Seal(nil, nonce, sample(4, 300), aad), 0)
		for n := range len(sealed) + 1 {
			_, err := a.Open(nil, nonce, sealed[:n], aad)
			if good := n == len(sealed)-1; (err == nil) != good {
				t.Fatalf("the first %d of %d octets: %v", n, len(sealed)-1, err)
			}
		}
		if _, err := a.Open(nil, nonce, sealed[:len(sealed)-1], aad[:8]); err == nil {
			t.Fatal("opened with a part of its additional data")
		}
	})
}
