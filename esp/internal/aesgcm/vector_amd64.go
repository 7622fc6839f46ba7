package aesgcm

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math/bits"
	"runtime"
)

// maxCall is the longest text of one call of the assembly in octets: a super-packet. The goroutine
// cannot be preempted during a call, so a call must be short (some 10 µs). Longer texts go to
// crypto/cipher.
const maxCall = 1 << 16

// errOpen is Open's error for an unauthentic text.
var errOpen = errors.New("aesgcm: message authentication failed")

// schedule holds everything derived from a key, the same for all widths. The assembly loads up to
// 64 octets at a time and may read up to 16 octets behind folded: rounds and zmm make room for
// that.
type schedule struct {
	keys   [16][blockLen]byte // round keys (FIPS 197, Section 5.2): up to 15
	powers [18][blockLen]byte // H^18 down to H^1, divided by x, octets reversed
	folded [18][blockLen]byte // the sum of the halves of each power, twice
	rounds uint64             // 10, 12 or 14
	zmm    uint64             // not zero: long texts on ZMM registers, by YMM functions
}

// The assembly: setup_amd64.s, zmm_amd64.s, vaes_amd64.s and aesni_amd64.s.

// setup computes powers and folded from keys and rounds.
func setup(k *schedule)

// subWord returns the S-box of each octet of w (FIPS 197, Section 5.2), in constant time.
func subWord(w uint32) uint32

// sealYMM and sealXMM encrypt plaintext to out, which is tagLen longer, and append the tag. If out
// overlaps aad, or plaintext other than at the same start, ok is false and nothing is written.
func sealYMM(k *schedule, out, nonce, plaintext, aad []byte) (ok bool)

func sealXMM(k *schedule, out, nonce, plaintext, aad []byte) (ok bool)

// sealChunks and openChunks are the loops over long texts that sealYMM, openYMM and others call
// with arguments in registers, where the key has zmm. Go code must not call them.
//
//lint:ignore U1000 called by assembly
func sealChunks()

//lint:ignore U1000 called by assembly
func openChunks()

// verdict is the result of openYMM and openXMM.
type verdict uint64

const (
	authentic   verdict = 0
	forged      verdict = 1
	overlapping verdict = 2 // out overlaps aad, or ciphertext other than at its start: nothing is written
)

// openYMM and openXMM decrypt ciphertext, which is tagLen longer than out, to out, and check its
// tag. If it is forged, out holds octets that must not be used.
func openYMM(k *schedule, out, nonce, ciphertext, aad []byte) (v verdict)

func openXMM(k *schedule, out, nonce, ciphertext, aad []byte) (v verdict)

// vector is AES-GCM in assembly. The schedule is a separate allocation, so that it can be wiped
// when nothing refers to the vector any more. Code that uses k must keep v alive until it is done.
type vector struct {
	k   *schedule
	ymm bool // VAES on YMM registers (and ZMM, if k says so), AES-NI on XMM registers otherwise
}

func newVector(key []byte, e engine) (cipher.AEAD, error) {
	if n := len(key); n != 16 && n != 24 && n != 32 {
		return nil, aes.KeySizeError(n)
	}
	v := &vector{k: new(schedule), ymm: e >= vaes}
	if e >= avx512 {
		v.k.zmm = 1
	}
	v.k.expand(key)
	setup(v.k)
	runtime.AddCleanup(v, (*schedule).wipe, v.k)
	return v, nil
}

// expand computes the round keys: FIPS 197, Section 5.2, with the other byte order of words. No
// branch and no index depends on the key, except on its length.
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

// generic returns crypto/cipher's AES-GCM with the same key, which is the start of the round keys.
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

// Clear wipes everything derived from the key. No goroutine may use v any more; a later use panics.
func (v *vector) Clear() { v.k.wipe() }

// NonceSize returns 12.
func (v *vector) NonceSize() int { return nonceLen }

// Overhead returns 16.
func (v *vector) Overhead() int { return tagLen }

// Seal implements cipher.AEAD.
func (v *vector) Seal(dst, nonce, plaintext, additionalData []byte) []byte {
	v.check(nonce)
	if len(plaintext) > maxCall || len(additionalData) > maxCall {
		return v.generic().Seal(dst, nonce, plaintext, additionalData)
	}
	ret := grow(dst, len(plaintext)+tagLen)
	var ok bool
	if v.ymm {
		ok = sealYMM(v.k, ret[len(dst):], nonce, plaintext, additionalData)
	} else {
		ok = sealXMM(v.k, ret[len(dst):], nonce, plaintext, additionalData)
	}
	runtime.KeepAlive(v) // the key must not be wiped before its use
	if !ok {
		panic("aesgcm: invalid buffer overlap of output and input or additional data")
	}
	return ret
}

// Open implements cipher.AEAD.
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
	var says verdict
	if v.ymm {
		says = openYMM(v.k, ret[len(dst):], nonce, ciphertext, additionalData)
	} else {
		says = openXMM(v.k, ret[len(dst):], nonce, ciphertext, additionalData)
	}
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

// check panics for bugs of the caller.
func (v *vector) check(nonce []byte) {
	if len(nonce) != nonceLen {
		panic("aesgcm: incorrect nonce length")
	}
	v.checkKey()
}

// checkKey panics if the key was cleared.
func (v *vector) checkKey() {
	if v.k.rounds == 0 {
		panic("aesgcm: use of a key that was cleared")
	}
}

// grow returns b with n more octets, in place if they fit.
func grow(b []byte, n int) []byte {
	total := len(b) + n
	if total <= cap(b) {
		return b[:total]
	}
	out := make([]byte, total)
	copy(out, b)
	return out
}
