package tun

import "golang.org/x/sys/cpu"

// fastSum says whether the processor has what sumAVX2 needs.
var fastSum = cpu.X86.HasAVX2

// sumAVX2 is the sum of the little-endian 32-bit words of blocks times 64 octets from b on, at least one. The checksums of what passes were a tenth of the packet path's time
// without it: BenchmarkSum.
//
//go:noescape
func sumAVX2(b *byte, blocks int) uint64

// sumBlocks is the sum of what it takes off b, if it takes anything, as little-endian words of whatever width, and the rest of b.
func sumBlocks(b []byte) (uint64, []byte) {
	const least = 256 // below, it saves nothing (BenchmarkSum)
	if !fastSum || len(b) < least {
		return 0, b
	}
	blocks := len(b) / 64
	return sumAVX2(&b[0], blocks), b[blocks*64:]
}
