package aesgcm

import (
	"crypto/cipher"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkEngines seals and opens packets in place with each implementation in turn, in batches as
// BenchmarkBatch does. min and med are the fastest and the median run, in ns for a packet.
func BenchmarkEngines(b *testing.B) {
	ways := engines()
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range ways {
			if name != "generic" && !yield(name) {
				return
			}
		}
	})
	if len(names) == 0 {
		b.Skip("no implementation in assembly")
	}
	var between atomic.Uint32
	nonce, aad := make([]byte, nonceLen), make([]byte, 12)
	for _, n := range []int{64, 128, 256, 512, 600, 1024, 1400, 8192} {
		for _, size := range []int{1, 4, 16, 44} {
			b.Run(fmt.Sprintf("%d/%d", n, size), func(b *testing.B) {
				var packets [44][]byte
				for i := range packets {
					packets[i] = must(b, newGeneric, make([]byte, 16)).Seal(nil, nonce, make([]byte, n), aad)
				}
				each := func(f func(packet []byte)) time.Duration {
					start := time.Now()
					for batch := range slices.Chunk(packets[:], size) {
						for _, packet := range batch {
							f(packet)
						}
						between.Add(1)
					}
					return time.Since(start)
				}
				var ciphers []cipher.AEAD
				for _, name := range names {
					ciphers = append(ciphers, must(b, ways[name].new, make([]byte, 16)))
				}
				opened, sealed := make([][]time.Duration, len(names)), make([][]time.Duration, len(names))
				for b.Loop() {
					for i, a := range ciphers {
						opened[i] = append(opened[i], each(func(packet []byte) {
							if _, err := a.Open(packet[:0], nonce, packet, aad); err != nil {
								panic(err)
							}
						}))
						sealed[i] = append(sealed[i], each(func(packet []byte) { a.Seal(packet[:0], nonce, packet[:n], aad) }))
					}
				}
				for i, name := range names {
					for what, times := range map[string][]time.Duration{"seal": sealed[i], "open": opened[i]} {
						slices.Sort(times)
						b.ReportMetric(float64(times[0])/float64(len(packets)), name+"-"+what+"-min")
						b.ReportMetric(float64(times[len(times)/2])/float64(len(packets)), name+"-"+what+"-med")
					}
				}
				b.ReportMetric(0, "ns/op") // covers all, so it means nothing
			})
		}
	}
}
