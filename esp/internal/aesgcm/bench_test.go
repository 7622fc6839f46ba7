package aesgcm

import (
	"crypto/cipher"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// benchRun is the number of packets in a run: about one super-packet.
const benchRun = 40

// versus compares New's implementation with crypto/cipher in alternating runs of packets. The
// fastest run counts, since other load can only slow a run down. ns is the time for a packet, x-std
// the throughput relative to crypto/cipher.
func versus(b *testing.B, generic, ours cipher.AEAD, run func(cipher.AEAD)) {
	b.ReportAllocs()
	best := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	for b.Loop() {
		for i, a := range []cipher.AEAD{generic, ours} {
			start := time.Now()
			run(a)
			best[i] = min(best[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(best[0])/float64(best[1]), "x-std")
	b.ReportMetric(float64(best[0])/benchRun, "std-ns")
	b.ReportMetric(float64(best[1])/benchRun, "ns")
	b.ReportMetric(0, "ns/op") // covers both, so it means nothing
}

// lengths returns the packet lengths of a run: all n, or random ones if n is zero.
func lengths(n int) [benchRun]int {
	r := rand.New(rand.NewPCG(1, 2))
	var out [benchRun]int
	for i := range out {
		if out[i] = n; n == 0 {
			out[i] = 40 + r.IntN(1361)
		}
	}
	return out
}

// bench runs f for the lengths and keys in docs/measurements.md.
func bench(b *testing.B, f func(b *testing.B, generic, ours cipher.AEAD, sizes [benchRun]int)) {
	if !Fast() {
		b.Skip("New makes crypto/cipher's here: nothing to compare")
	}
	for _, keyLen := range []int{16, 32} {
		for _, n := range []int{64, 512, 1400, 8192, 0} {
			name := fmt.Sprintf("AES-%d/%d", keyLen*8, n)
			if n == 0 {
				name = fmt.Sprintf("AES-%d/40to1400", keyLen*8)
			}
			b.Run(name, func(b *testing.B) {
				generic, err := newGeneric(make([]byte, keyLen))
				if err != nil {
					b.Fatal(err)
				}
				ours, err := New(make([]byte, keyLen))
				if err != nil {
					b.Fatal(err)
				}
				f(b, generic, ours, lengths(n))
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	bench(b, func(b *testing.B, generic, ours cipher.AEAD, sizes [benchRun]int) {
		text, out := make([]byte, 8192), make([]byte, 8192+tagLen)
		nonce, aad := make([]byte, nonceLen), make([]byte, 12)
		versus(b, generic, ours, func(a cipher.AEAD) {
			for _, n := range sizes {
				a.Seal(out[:0], nonce, text[:n], aad)
			}
		})
	})
}

func BenchmarkOpen(b *testing.B) {
	bench(b, func(b *testing.B, generic, ours cipher.AEAD, sizes [benchRun]int) {
		nonce, aad := make([]byte, nonceLen), make([]byte, 12)
		var sealed [benchRun][]byte
		for i, n := range sizes {
			sealed[i] = generic.Seal(nil, nonce, make([]byte, n), aad)
		}
		out := make([]byte, 8192)
		versus(b, generic, ours, func(a cipher.AEAD) {
			for _, packet := range sealed {
				if _, err := a.Open(out[:0], nonce, packet, aad); err != nil {
					panic(err)
				}
			}
		})
	})
}

func BenchmarkNew(b *testing.B) {
	key := make([]byte, 16)
	for b.Loop() {
		_, _ = New(key)
	}
}
