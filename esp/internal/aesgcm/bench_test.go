package aesgcm

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
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

// BenchmarkBatch seals and opens in place packets that come together in batches: a locked
// instruction between two of them keeps the processor from beginning one before the other ends.
// Both ciphers pay for it.
func BenchmarkBatch(b *testing.B) {
	if !Fast() {
		b.Skip("New makes crypto/cipher's here: nothing to compare")
	}
	generic, ours := must(b, newGeneric, make([]byte, 16)), must(b, New, make([]byte, 16))
	nonce, aad := make([]byte, nonceLen), make([]byte, 12)
	var between atomic.Uint32
	for _, n := range []int{64, 1400} {
		sealed := generic.Seal(nil, nonce, make([]byte, n), aad)
		var packets [44][]byte
		for _, size := range []int{1, 4, 16, 44} {
			each := func(f func(packet []byte)) {
				for batch := range slices.Chunk(packets[:], size) {
					for _, packet := range batch {
						f(packet)
					}
					between.Add(1)
				}
			}
			for i := range packets {
				packets[i] = bytes.Clone(sealed)
			}
			b.Run(fmt.Sprintf("%d/%d", n, size), func(b *testing.B) {
				best := [2][2]time.Duration{{math.MaxInt64, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}}
				for b.Loop() {
					for i, a := range []cipher.AEAD{generic, ours} {
						start := time.Now()
						each(func(packet []byte) {
							if _, err := a.Open(packet[:0], nonce, packet, aad); err != nil {
								panic(err)
							}
						})
						opened := time.Now()
						each(func(packet []byte) { a.Seal(packet[:0], nonce, packet[:n], aad) })
						best[i][0] = min(best[i][0], time.Since(opened))
						best[i][1] = min(best[i][1], opened.Sub(start))
					}
				}
				b.ReportMetric(float64(best[0][0])/float64(best[1][0]), "x-seal")
				b.ReportMetric(float64(best[0][1])/float64(best[1][1]), "x-open")
				b.ReportMetric(float64(best[1][0])/float64(len(packets)), "seal-ns")
				b.ReportMetric(float64(best[1][1])/float64(len(packets)), "open-ns")
				b.ReportMetric(0, "ns/op") // covers both, so it means nothing
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	key := make([]byte, 16)
	for b.Loop() {
		_, _ = New(key)
	}
}
