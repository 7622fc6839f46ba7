package tun

import "golang.org/x/sys/cpu"

// fastSum says whether the processor has what sumAVX2 needs.
var fastSum = cpu.X86.HasAVX2

// mostSum is the most octets of one call of sumAVX2: its sums of signed words fit 32 bits up to twice as many.
const mostSum = 1 << 16

// sumAVX2 is the sum of the little-endian 16-bit words of the n octets from b on: a multiple of 32, at least one, at most mostSum. The checksums of what passes were a tenth of the packet
// path's time without it: BenchmarkSum.
//
//go:noescape
func sumAVX2(b *byte, n int) uint64

// sumBlocks is the sum of what it takes off b, if it takes anything, as little-endian words of whatever width, and the rest of b.
func sumBlocks(b []byte) (uint64, []byte) {
	const least = 192 // below, it saves nothing (BenchmarkSum)
	if !fastSum || len(b) < least {
		return 0, b
	}
	n := min(len(b), mostSum) &^ 31
	return sumAVX2(&b[0], n), b[n:]
}
