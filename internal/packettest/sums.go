package packettest

import "net/netip"

// Sum16 returns the sum of the 16-bit words of b, not folded (RFC 1071, Section 1). b counts as
// padded with a zero octet if its length is odd.
func Sum16(b []byte) uint64 {
	var s uint64
	for i, c := range b {
		if i%2 == 0 {
			s += uint64(c) << 8
		} else {
			s += uint64(c)
		}
	}
	return s
}

// Fold folds a sum of 16-bit words.
func Fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// PseudoSum returns the sum of the pseudo-header, not folded.
func PseudoSum(src, dst netip.Addr, proto uint8, length int) uint64 {
	return Sum16(src.AsSlice()) + Sum16(dst.AsSlice()) + uint64(proto) + uint64(length)
}
