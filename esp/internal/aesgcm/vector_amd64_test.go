package aesgcm

import (
	"crypto/aes"
	"encoding/hex"
	"runtime"
	"testing"
)

func newVectorKey(t *testing.T, key []byte) *vector {
	t.Helper()
	if best() == generic {
		t.Skip("this processor has no AES-NI, PCLMULQDQ, AVX and BMI2")
	}
	return must(t, best().new, key).(*vector)
}

// TestKeyExpansion: the last words of the three examples of FIPS 197, Appendix A.
func TestKeyExpansion(t *testing.T) {
	for _, c := range []struct {
		key, last string
		rounds    int
	}{
		{"2b7e151628aed2a6abf7158809cf4f3c", "d014f9a8c9ee2589e13f0cc8b6630ca6", 10},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "e98ba06f448c773c8ecc720401002202", 12},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", "fe4890d1e6188d0b046df344706c631e", 14},
	} {
		key, _ := hex.DecodeString(c.key)
		k := newVectorKey(t, key).k
		if got := hex.EncodeToString(k.keys[c.rounds][:]); got != c.last || k.rounds != uint64(c.rounds) {
			t.Errorf("%d rounds, the last key %s, want %d, %s", k.rounds, got, c.rounds, c.last)
		}
	}
}

// slowTimes returns x*y by SP 800-38D, Algorithm 1: bit by bit, where the first bit of an octet is
// its highest.
func slowTimes(x, y [blockLen]byte) (z [blockLen]byte) {
	for i := range 128 {
		if x[i/8]>>(7-i%8)&1 != 0 {
			for j := range z {
				z[j] ^= y[j]
			}
		}
		var carry byte
		for j, b := range y {
			y[j], carry = b>>1|carry<<7, b&1
		}
		y[0] ^= carry * 0xe1
	}
	return z
}

// TestPowers: the table holds H^18 down to H, each divided by x, and the sums of their halves.
func TestPowers(t *testing.T) {
	x := [blockLen]byte{0x40}
	for seed := range 20 {
		key := sample(uint64(seed), 16)
		k := newVectorKey(t, key).k
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		var h, power [blockLen]byte
		block.Encrypt(h[:], h[:])
		power = h
		for n := 17; n >= 0; n-- {
			p := k.powers[n]
			if got := slowTimes(reversed(p), x); got != power {
				t.Fatalf("H^%d is %x, want %x", 18-n, got, power)
			}
			for i := range p {
				if k.folded[n][i] != p[i]^p[i^8] {
					t.Fatalf("the sum of the halves of H^%d is wrong", 18-n)
				}
			}
			power = slowTimes(power, h)
		}
	}
}

func reversed(b [blockLen]byte) (out [blockLen]byte) {
	for i := range b {
		out[i] = b[blockLen-1-i]
	}
	return out
}

func TestClear(t *testing.T) {
	v := newVectorKey(t, sample(1, 32))
	k := v.k
	v.Clear()
	if v.k != k {
		t.Error("the memory of the key was changed for another")
	}
	if *k != (schedule{}) {
		t.Error("something of the key is left")
	}
	nonce, text := make([]byte, nonceLen), make([]byte, 40)
	if !panics(func() { v.Seal(nil, nonce, text, nil) }) || !panics(func() { _, _ = v.Open(nil, nonce, text, nil) }) {
		t.Error("a key that was cleared is used")
	}
}

// TestForgottenKeyIsWiped: a key without references is wiped even if Clear was not called.
func TestForgottenKeyIsWiped(t *testing.T) {
	wiped := make(chan bool, 1)
	func() {
		v := newVectorKey(t, sample(1, 32))
		runtime.SetFinalizer(v.k, func(k *schedule) { wiped <- *k == schedule{} })
	}()
	for range 1000 {
		runtime.GC()
		select {
		case is := <-wiped:
			if !is {
				t.Error("something of the key is left")
			}
			return
		default:
			runtime.Gosched()
		}
	}
	t.Error("after 1000 collections the key is still there")
}
