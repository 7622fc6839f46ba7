package aesgcm

import "testing"

// FuzzAgainstStandard: sealed texts equal crypto/cipher's, and both open and refuse the same texts.
// size selects the key's length and the offsets.
func FuzzAgainstStandard(f *testing.F) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 64, 65, 128, 129, 240, 256, 257, 272, 511, 512, 513, 1400} {
		f.Add(uint16(n), []byte("key"), []byte("nonce"), sample(uint64(n), n%40), sample(uint64(n), n))
	}
	f.Fuzz(func(t *testing.T, size uint16, keyed, nonced, aad, text []byte) {
		key, nonce := make([]byte, keyLens[size%3]), make([]byte, nonceLen)
		copy(key, keyed)
		copy(nonce, nonced)
		std := must(t, newGeneric, key)
		x := texts{nonce: nonce, aad: aad, plain: text, in: int(size >> 2 & 63), out: int(size >> 8 & 63)}
		want, stdErr := std.Open(nil, nonce, text, aad)
		for name, e := range engines() {
			ours := must(t, e.new, key)
			x.agree(t, ours, std)
			got, err := ours.Open(nil, nonce, text, aad)
			if (err == nil) != (stdErr == nil) {
				t.Fatalf("%s: %x: %v, want %v", name, text, err, stdErr)
			}
			same(t, name+": opened", got, want)
		}
	})
}
