package aesgcm

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math/bits"
	"runtime"
)

// maxCall is the longest text of one call of the assembly, a super-packet: as no goroutine can be preempted in it, a call must be short (some 10 µs). crypto/cipher takes what is longer.
const maxCall = 1 << 16

// errOpen is what Open returns for what is not authentic.
var errOpen = errors.New("aesgcm: message authentication failed")

// schedule is all that is derived from a key. The assembly reads 32 octets at a time and may read up to 16 behind folded, which rounds and the octets behind it are there for.
type schedule struct {
	keys   [16][blockLen]byte // round keys (FIPS 197, Section 5.2): up to 15
	powers [18][blockLen]byte // H^18 down to H^1, each divided by x, octets reversed
	folded [18][blockLen]byte // of each, the sum of its halves, twice
	rounds uint64             // 10, 12 or 14
	_      uint64
}

// The assembly: kernel_amd64.s.

// setup fills powers and folded from keys and rounds.
//
//go:noescape
func setup(k *schedule)

// subWord is the S-box for each octet of w (FIPS 197, Section 5.2), in time that does not depend on it.
func subWord(w uint32) uint32

// seal encrypts plaintext to out, which is tagLen longer, and puts the tag behind. ok is false, and nothing done, if out overlaps plaintext at another place than its start, or aad.
//
//go:noescape
func seal(k *schedule, out, nonce, plaintext, aad []byte) (ok bool)

// verdict is what open says.
type verdict uint64

const (
	authentic   verdict = 0
	forged      verdict = 1
	overlapping verdict = 2 // out overlaps ciphertext at another place than its start, or aad: nothing was done
)

// open decrypts ciphertext, which is tagLen longer than out, to out, and checks its tag. If it is forged, out holds octets that must not be used.
//
//go:noescape
func open(k *schedule, out, nonce, ciphertext, aad []byte) (v verdict)

// vector is AES-GCM in assembly. What is derived from the key is in memory of its own, so that it can be wiped when nothing refers to the vector any more: whoever uses k
// keeps v alive until that is done.
type vector struct {
	k *schedule
}

func newVector(key []byte) (cipher.AEAD, error) {
	if n := len(key); n != 16 && n != 24 && n != 32 {
		return nil, aes.KeySizeError(n)
	}
	v := &vector{k: new(schedule)}
	v.k.expand(key)
	setup(v.k)
	runtime.AddCleanup(v, (*schedule).wipe, v.k)
	return v, nil
}

// expand makes the round keys: FIPS 197, Section 5.2, with words of the other byte order. No branch and no index depends on the key, save on its length.
func (k *schedule) expand(key []byte) {
	nk := len(key) / 4
	k.rounds = uint64(nk + 6)
	var w [60]uint32
	for i := range nk {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1)
	for i := nk; i < 4*(nk+7); i++ {
		t := w[i-1]
		switch {
		case i%nk == 0:
			t = subWord(bits.RotateLeft32(t, -8)) ^ rcon
			rcon = rcon<<1 ^ rcon>>7*0x11b
		case nk > 6 && i%nk == 4:
			t = subWord(t)
		}
		w[i] = w[i-nk] ^ t
	}
	for i := range 4 * (nk + 7) {
		binary.LittleEndian.PutUint32(k.keys[i/4][i%4*4:], w[i])
	}
	clear(w[:])
}

// generic is crypto/cipher with the same key: the round keys begin with it.
func (v *vector) generic() cipher.AEAD {
	nk := int(v.k.rounds) - 6
	var key [32]byte
	copy(key[:blockLen], v.k.keys[0][:])
	copy(key[blockLen:], v.k.keys[1][:])
	runtime.KeepAlive(v)
	g, err := newGeneric(key[:4*nk])
	clear(key[:])
	if err != nil {
		panic("aesgcm: " + err.Error())
	}
	return g
}

func (k *schedule) wipe() { *k = schedule{} }

// Clear wipes what is derived from the key. It is for when no goroutine can be using v any more: one that still did would panic.
func (v *vector) Clear() { v.k.wipe() }

// NonceSize is 12.
func (v *vector) NonceSize() int { return nonceLen }

// Overhead is 16.
func (v *vector) Overhead() int { return tagLen }

// Seal is cipher.AEAD's.
func (v *vector) Seal(dst, nonce, plaintext, additionalData []byte) []byte {
	v.check(nonce)
	if len(plaintext) > maxCall || len(additionalData) > maxCall {
		return v.generic().Seal(dst, nonce, plaintext, additionalData)
	}
	ret := grow(dst, len(plaintext)+tagLen)
	ok := seal(v.k, ret[len(dst):], nonce, plaintext, additionalData)
	runtime.KeepAlive(v) // the key must not be wiped before it was used
	if !ok {
		panic("aesgcm: invalid buffer overlap of output and input or additional data")
	}
	return ret
}

// Open is cipher.AEAD's.
func (v *vector) Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error) {
	v.check(nonce)
	n := len(ciphertext) - tagLen
	if n < 0 {
		return nil, errOpen
	}
	if n > maxCall || len(additionalData) > maxCall {
		return v.generic().Open(dst, nonce, ciphertext, additionalData)
	}
	ret := grow(dst, n)
	says := open(v.k, ret[len(dst):], nonce, ciphertext, additionalData)
	runtime.KeepAlive(v)
	switch says {
	case overlapping:
		panic("aesgcm: invalid buffer overlap of output and input or additional data")
	case forged:
		clear(ret[len(dst):])
		return nil, errOpen
	}
	return ret, nil
}

// check panics for what is its caller's bug.
func (v *vector) check(nonce []byte) {
	if len(nonce) != nonceLen {
		panic("aesgcm: incorrect nonce length")
	}
	if v.k.rounds == 0 {
		panic("aesgcm: use of a key that was cleared")
	}
}

// grow is b with n more octets, in place if they fit.
func grow(b []byte, n int) []byte {
	total := len(b) + n
	if total <= cap(b) {
		return b[:total]
	}
	out := make([]byte, total)
	copy(out, b)
	return out
}
