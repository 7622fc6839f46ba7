package ipheader

import "golang.org/x/sys/cpu"

// fastSum reports whether the processor has what sumAVX2 needs.
var fastSum = cpu.X86.HasAVX2

// mostSum is the most octets of one call of sumAVX2: its sums of signed words fit 32 bits up to
// twice that.
const mostSum = 1 << 16

// sumAVX2 returns the sum of the little-endian 16-bit words of the n octets from b on. n is a
// multiple of 32, at least one, at most mostSum. Without it, checksums took a tenth of the packet
// path's time: BenchmarkSum.
//
//go:noescape
func sumAVX2(b *byte, n int) uint64

// sumBlocks returns the sum of a part of b, which may be empty, as little-endian words of any
// width, and the rest of b.
func sumBlocks(b []byte) (uint64, []byte) {
	const least = 192 // below, it saves nothing (BenchmarkSum)
	if !fastSum || len(b) < least {
		return 0, b
	}
	n := min(len(b), mostSum) &^ 31
	return sumAVX2(&b[0], n), b[n:]
}
