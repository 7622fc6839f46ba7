package aesgcm

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// maxText exceeds maxCall, so that both sides of that limit are tested.
const maxText = 70_000

// keyLens are the key lengths of AES in octets.
var keyLens = []int{16, 24, 32}

// engines returns the names of the implementations that this machine supports.
func engines() map[string]engine {
	all := map[string]engine{"generic": generic, "aesni": aesni, "vaes": vaes, "avx512": avx512}
	maps.DeleteFunc(all, func(_ string, e engine) bool { return e > best() })
	return all
}

// eachWay runs f with each implementation that this machine supports; make returns a cipher with a
// key.
func eachWay(t *testing.T, f func(t *testing.T, make func(testing.TB, []byte) cipher.AEAD)) {
	t.Helper()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			f(t, func(t testing.TB, key []byte) cipher.AEAD { return must(t, e.new, key) })
		})
	}
}

func must(t testing.TB, way func([]byte) (cipher.AEAD, error), key []byte) cipher.AEAD {
	t.Helper()
	a, err := way(key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sample returns random octets that are the same in each run.
func sample(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// place holds n octets at an offset, with canaries around them.
type place struct {
	all  []byte
	text []byte
}

const canary = 0xa5

func newPlace(offset, n int) place {
	all := bytes.Repeat([]byte{canary}, offset+n+64)
	return place{all: all, text: all[offset : offset+n : offset+n]}
}

// check fails the test if a canary was overwritten.
func (p *place) check(t *testing.T, what string) {
	t.Helper()
	offset := len(p.all) - 64 - len(p.text)
	for i, b := range p.all {
		if b != canary && (i < offset || i >= offset+len(p.text)) {
			t.Fatalf("%s: octet %d was written, of %d octets at %d", what, i, len(p.text), offset)
		}
	}
}

// texts is one input to be sealed, and the offsets of its buffers.
type texts struct {
	nonce, aad, plain []byte
	in, out           int // offsets of the buffers
}

// agree seals and opens with ours, out of place and in place, and compares the results with
// crypto/cipher's.
func (x *texts) agree(t *testing.T, ours, std cipher.AEAD) {
	t.Helper()
	what := fmt.Sprintf("%d octets with %d, from offset %d to %d", len(x.plain), len(x.aad), x.in, x.out)
	n := len(x.plain)
	want := std.Seal(nil, x.nonce, x.plain, x.aad)

	src, dst := newPlace(x.in, n), newPlace(x.out, n+tagLen)
	copy(src.text, x.plain)
	got := ours.Seal(dst.text[:0], x.nonce, src.text, x.aad)
	same(t, what+": sealed", got, want)
	same(t, what+": what was to be sealed", src.text, x.plain)
	dst.check(t, what)

	copy(dst.text, x.plain)
	same(t, what+": sealed in place", ours.Seal(dst.text[:0], x.nonce, dst.text[:n], x.aad), want)
	dst.check(t, what+", in place")

	src = newPlace(x.in, n)
	got, err := ours.Open(src.text[:0], x.nonce, dst.text, x.aad)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	same(t, what+": opened", got, x.plain)
	same(t, what+": what was to be opened", dst.text, want)
	src.check(t, what+", opened")

	got, err = ours.Open(dst.text[:0], x.nonce, dst.text, x.aad)
	if err != nil {
		t.Fatalf("%s: in place: %v", what, err)
	}
	same(t, what+": opened in place", got, x.plain)
	same(t, what+": the tag", dst.text[n:], want[n:])
	dst.check(t, what+", opened in place")
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: got\n%x, want\n%x", what, got, want)
	}
}

// eachKey runs f with a key of each length, for ours and for crypto/cipher.
func eachKey(t *testing.T, f func(t *testing.T, ours, std cipher.AEAD)) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		for _, n := range keyLens {
			key := sample(uint64(n), n)
			f(t, way(t, key), must(t, newGeneric, key))
		}
	})
}

// TestEveryLength: every length of a packet, with additional data of every length up to 100, at
// every offset within two YMM registers.
func TestEveryLength(t *testing.T) {
	all := sample(1, 4200)
	eachKey(t, func(t *testing.T, ours, std cipher.AEAD) {
		for n := range len(all) + 1 {
			x := texts{nonce: sample(uint64(n), nonceLen), aad: all[:n%101], plain: all[:n], in: n % 64, out: n / 7 % 64}
			x.agree(t, ours, std)
		}
	})
}

func TestEveryAdditionalData(t *testing.T) {
	all := sample(2, 600)
	eachKey(t, func(t *testing.T, ours, std cipher.AEAD) {
		for aad := range 101 {
			for _, n := range []int{0, 1, 16, 40, 256, 257, 600} {
				x := texts{nonce: sample(uint64(aad), nonceLen), aad: all[aad : 2*aad], plain: all[:n]}
				x.agree(t, ours, std)
			}
		}
	})
}

// TestEveryOffset: all pairs of offsets of input and output.
func TestEveryOffset(t *testing.T) {
	all := sample(3, 800)
	eachKey(t, func(t *testing.T, ours, std cipher.AEAD) {
		for in := range 33 {
			for out := range 33 {
				for _, n := range []int{31, 300, 769} {
					x := texts{nonce: all[in : in+nonceLen], aad: all[out : out+8+in%2*4], plain: all[:n], in: in, out: out}
					x.agree(t, ours, std)
				}
			}
		}
	})
}

func TestRandomLengths(t *testing.T) {
	all := sample(4, maxText)
	r := rand.New(rand.NewPCG(5, 6))
	eachKey(t, func(t *testing.T, ours, std cipher.AEAD) {
		for _, n := range []int{1<<16 - 1, 1 << 16, 1<<16 + 1, maxText} {
			x := texts{nonce: all[:nonceLen], aad: all[:12], plain: all[:n]}
			x.agree(t, ours, std)
		}
		for range 100 {
			x := texts{nonce: sample(r.Uint64(), nonceLen), aad: all[:r.IntN(101)], plain: all[:r.IntN(maxText+1)], in: r.IntN(64), out: r.IntN(64)}
			x.agree(t, ours, std)
		}
	})
}

// TestExtremes: texts, nonces and keys of only zeros and only ones, where carries propagate the
// furthest.
func TestExtremes(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		for _, keyLen := range keyLens {
			for bits := range 8 {
				fill := func(bit, n int) []byte { return bytes.Repeat([]byte{byte(-(bits >> bit & 1))}, n) }
				key := fill(0, keyLen)
				ours, std := way(t, key), must(t, newGeneric, key)
				for _, n := range []int{0, 16, 100, 256, 1400} {
					x := texts{nonce: fill(1, nonceLen), aad: fill(1, 8), plain: fill(2, n)}
					x.agree(t, ours, std)
				}
			}
		}
	})
}
