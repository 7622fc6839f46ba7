// Package esp implements one direction of one ESP SA (RFC 4303) in tunnel mode: sealing with
// sequence numbers that never repeat, opening with a replay window, and the rules for copying
// fields between the inner and the outer header (RFC 4301, RFC 6040). It does no I/O and, once an
// SA is made, allocates nothing.
//
// A sealed packet, without the outer IP and UDP headers:
//
//	 0                8               16                        n               n+16
//	+-------+--------+----------------+------------------------+----------------+
//	|  SPI  | Seq lo |  IV (64 bits)  | payload, padding,      |  ICV           |
//	|       |        |                | pad length, next header|                |
//	+-------+--------+----------------+------------------------+----------------+
//	 \___ authenticated __/            \_______ encrypted _____/
package esp

import "encoding/binary"

// Sizes of the parts of a packet, the same for every cipher of the package.
const (
	HeaderLen = 8  // SPI and the low half of the sequence number (RFC 4303, Section 2)
	IVLen     = 8  // RFC 4106, Section 3.1; RFC 7634, Section 2
	ICVLen    = 16 // RFC 4106, Section 6; RFC 7634, Section 2

	// Headroom is the number of octets that Seal writes before the payload.
	Headroom = HeaderLen + IVLen
	// MaxTrailer is the most octets that are encrypted behind the payload: three of padding, the
	// pad length and the next header.
	MaxTrailer = 5
	// Tailroom is the number of octets behind a payload that Seal uses if they are there, to write
	// the trailer in one store.
	Tailroom = 8
	// MaxOverhead is the most octets by which a sealed packet is longer than its payload.
	MaxOverhead = Headroom + MaxTrailer + ICVLen

	trailerLen = 2 // pad length and next header
	padAlign   = 4 // RFC 4303, Section 2.4: "right aligned within a 4-byte word"
	nonceLen   = saltLen + IVLen
	minSealed  = Headroom + trailerLen + ICVLen
)

// Next header values (RFC 4303, Section 2.6).
const (
	NextIPv4  uint8 = 4
	NextIPv6  uint8 = 41
	NextDummy uint8 = 59 // "MUST be discarded without indication"
)

// The outer headers, for InnerMTU.
const (
	outerIPv4 = 20
	outerIPv6 = 40
	outerUDP  = 8 // RFC 3948, Section 2.1
)

// SealedLen returns the length of a sealed packet for a payload of n octets, without outer headers.
func SealedLen(n int) int { return Headroom + padded(n) + ICVLen }

// padded returns the encrypted length for a payload of n octets: with its trailer, a multiple of
// four.
func padded(n int) int { return (n + trailerLen + padAlign - 1) &^ (padAlign - 1) }

// InnerMTU returns the size of the largest inner packet that fits a path MTU when sealed, for an
// outer IPv6 or IPv4 header, with or without UDP encapsulation. It returns 0 if nothing fits.
func InnerMTU(pathMTU int, outerV6, encap bool) int {
	room := pathMTU - Headroom - ICVLen - outerIPv4
	if outerV6 {
		room -= outerIPv6 - outerIPv4
	}
	if encap {
		room -= outerUDP
	}
	return max(room&^(padAlign-1)-trailerLen, 0)
}

// OuterLen returns the length of the outer packet for an inner packet of n octets.
func OuterLen(n int, outerV6, encap bool) int {
	outer := outerIPv4
	if outerV6 {
		outer = outerIPv6
	}
	if encap {
		outer += outerUDP
	}
	return outer + SealedLen(n)
}

// SPI returns the SPI of a packet that begins with its ESP header; ok is false if it is too short
// for any ESP packet.
func SPI(pkt []byte) (spi uint32, ok bool) {
	if len(pkt) < minSealed {
		return 0, false
	}
	return binary.BigEndian.Uint32(pkt), true
}

// A Scratch is one goroutine's working space for Seal and Open. It saves an allocation per packet,
// since its octets are passed through an interface. The zero value is ready; it serves any SA, one
// call at a time.
type Scratch struct {
	nonce [nonceLen]byte
	aad   [HeaderLen + 4]byte
}

// prepare returns the nonce and the additional data of a packet, which cover all of its header and
// its IV.
func (s *Scratch) prepare(k *keyed, pkt []byte, seq uint64) (nonce, aad []byte) {
	binary.LittleEndian.PutUint32(s.nonce[:], k.salt)
	binary.NativeEndian.PutUint64(s.nonce[saltLen:], binary.NativeEndian.Uint64(pkt[HeaderLen:]))
	binary.NativeEndian.PutUint32(s.aad[:], binary.NativeEndian.Uint32(pkt))
	if k.esn {
		// RFC 4106, Section 5: SPI, then all 64 bits of the sequence number; the high half is not
		// sent.
		binary.BigEndian.PutUint64(s.aad[4:], seq)
		return s.nonce[:], s.aad[:12]
	}
	binary.BigEndian.PutUint32(s.aad[4:], uint32(seq))
	return s.nonce[:], s.aad[:8]
}
