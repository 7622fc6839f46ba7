// Package esp implements one direction of one ESP SA (RFC 4303): sealing with sequence numbers that
// never repeat, opening with a replay window; for tunnel mode the rules for copying fields between
// the inner and the outer header (RFC 4301, RFC 6040), and for transport mode the headers in front
// of ESP. It does no I/O and, once an SA is made, allocates nothing.
//
// A sealed packet, without the outer IP and UDP headers, in which a Format has the lengths of IV
// and ICV:
//
//	 0                8
//	+-------+--------+----------------+------------------------+----------------+
//	|  SPI  | Seq lo |  IV            | payload, padding,      |  ICV           |
//	|       |        |                | pad length, next header|                |
//	+-------+--------+----------------+------------------------+----------------+
//	 \_ authenticated _/               \_______ encrypted _____/
package esp

import "encoding/binary"

// HeaderLen is the length of SPI and low half of the sequence number (RFC 4303, Section 2).
const HeaderLen = 8

// Bounds for the packets of every cipher.
const (
	// MaxOverhead is the most octets by which a sealed packet is longer than its payload: with
	// AES-CBC and HMAC-SHA2-512-256.
	MaxOverhead = HeaderLen + maxIV + trailerLen + maxAlign - 1 + maxICV
	// Tailroom is the number of octets behind a payload that Seal uses if they are there, to write
	// the trailer in one store.
	Tailroom = 8

	maxIV, maxAlign, maxICV = 16, 16, 32

	trailerLen = 2 // pad length and next header
	wordLen    = 4 // RFC 4303, Section 2.4: "right aligned within a 4-byte word"
	minSealed  = HeaderLen + trailerLen + 12
)

// Lengths of the packets of AES-GCM-16 and ChaCha20-Poly1305, which are usual in the code below.
const (
	usualIV       = 8  // RFC 4106, Section 3.1; RFC 7634, Section 2
	usualICV      = 16 // RFC 4106, Section 6; RFC 7634, Section 2
	usualHeadroom = HeaderLen + usualIV
	usualLeast    = usualHeadroom + trailerLen + usualICV
)

// Next header values (RFC 4303, Section 2.6).
const (
	NextIPv4  uint8 = 4
	NextIPv6  uint8 = 41
	NextDummy uint8 = 59 // "MUST be discarded without indication"
)

// The outer headers.
const (
	outerIPv4 = 20
	outerIPv6 = 40
	outerUDP  = 8 // RFC 3948, Section 2.1
)

// A Format holds the lengths of the parts of a cipher's packets in octets.
type Format struct {
	IV    uint8
	ICV   uint8
	Align uint8 // what is encrypted is a multiple of it, a power of two
}

var usual = Format{IV: usualIV, ICV: usualICV, Align: wordLen}

// Headroom returns the number of octets that Seal writes before the payload.
func (f Format) Headroom() int { return HeaderLen + int(f.IV) }

// Overhead returns the most octets by which a sealed packet is longer than its payload.
func (f Format) Overhead() int {
	return f.Headroom() + trailerLen + int(f.Align) - 1 + int(f.ICV)
}

// SealedLen returns the length of a sealed packet for a payload of n octets, without outer headers.
func (f Format) SealedLen(n int) int { return f.Headroom() + f.padded(n) + int(f.ICV) }

// padded returns the encrypted length for a payload of n octets, with its trailer.
func (f Format) padded(n int) int {
	align := int(f.Align)
	return (n + trailerLen + align - 1) &^ (align - 1)
}

// usualPadded is padded for the usual Format.
func usualPadded(n int) int { return (n + trailerLen + wordLen - 1) &^ (wordLen - 1) }

// least returns the length of the shortest packet that has all parts.
func (f Format) least() int { return f.Headroom() + trailerLen + int(f.ICV) }

// InnerMTU returns the size of the largest inner packet that fits a path MTU when sealed, for an
// outer IPv6 or IPv4 header, with or without UDP encapsulation. It returns 0 if nothing fits.
func (f Format) InnerMTU(pathMTU int, outerV6, encap bool) int {
	room := pathMTU - outerLen(outerV6, encap) - f.Headroom() - int(f.ICV)
	return max(room&^(int(f.Align)-1)-trailerLen, 0)
}

// OuterLen returns the length of the outer packet for an inner packet of n octets.
func (f Format) OuterLen(n int, outerV6, encap bool) int {
	return outerLen(outerV6, encap) + f.SealedLen(n)
}

// outerLen returns the length of the outer headers.
func outerLen(v6, encap bool) int {
	n := outerIPv4
	if v6 {
		n = outerIPv6
	}
	if encap {
		n += outerUDP
	}
	return n
}

// SPI returns the SPI of a packet that begins with its ESP header; ok is false if it is too short
// for any ESP packet.
func SPI(pkt []byte) (spi uint32, ok bool) {
	if len(pkt) < minSealed {
		return 0, false
	}
	return binary.BigEndian.Uint32(pkt), true
}
