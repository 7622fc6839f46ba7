package ipheader

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the 16-bit one's complement sum of initial and b (RFC 1071), folded but not inverted.
// b counts as padded with a zero octet if its length is odd, so only the last of several pieces may
// be odd.
func Sum(initial uint16, b []byte) uint16 {
	// RFC 1071, Section 2: the sum may be taken in any byte order and any width. Little-endian
	// 64-bit words are what the machines that matter load fastest; one swap at the end puts it
	// right.
	acc, b := sumBlocks(b)
	var carry uint64
	for len(b) >= 64 {
		w := b[:64]
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w), 0)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[8:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[16:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[24:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[32:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[40:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[48:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[56:]), carry)
		acc += carry // cannot carry again: a sum that carried is at most 2^64-2
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	var tail uint64
	if len(b) >= 4 {
		tail = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		tail += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		tail += uint64(b[0])
	}
	acc, carry = bits.Add64(acc, tail, 0)
	acc += carry
	return Fold(uint64(bits.ReverseBytes16(Fold(acc))) + uint64(initial))
}

// Fold adds the 16-bit parts of a sum until one remains.
func Fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// PseudoSum returns the sum of the pseudo-header of TCP and UDP: RFC 9293, Section 3.1, and RFC
// 8200, Section 8.1, which give the same sum for lengths below 65536. src and dst are the
// addresses' octets.
func PseudoSum(src, dst []byte, proto uint8, length int) uint16 {
	sum := Sum(uint16(proto), src)
	sum = Sum(sum, dst)
	return Fold(uint64(sum) + uint64(length))
}

// Finish returns the checksum of a sum, its complement. Zero becomes all ones, the same number to a
// receiver, because zero means "none" to UDP (RFC 768).
func Finish(sum uint16) uint16 {
	if sum == 0xffff {
		return 0xffff
	}
	return ^sum
}

// Update returns the checksum sum of a header after one of its 16-bit words changed from old to
// now: RFC 1624, Section 3, equation 3: HC' = ~(~HC + ~m + m'). odd means that the word is at an
// odd offset, so that its octets count in the other halves.
func Update(sum, old, now uint16, odd bool) uint16 {
	if odd {
		old, now = old<<8|old>>8, now<<8|now>>8
	}
	s := uint32(^sum) + uint32(^old) + uint32(now)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	return ^uint16(s)
}

// Replace writes now over old, fields of the same even length at an even offset, and updates the
// checksum at the start of field. A wrong checksum stays wrong.
func Replace(old, now, field []byte) {
	sum := binary.BigEndian.Uint16(field)
	for i := 0; i < len(now); i += 2 {
		sum = Update(sum, binary.BigEndian.Uint16(old[i:]), binary.BigEndian.Uint16(now[i:]), false)
	}
	copy(old, now)
	binary.BigEndian.PutUint16(field, sum)
}
