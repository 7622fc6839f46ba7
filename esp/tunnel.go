package esp

import (
	"culvert/internal/ipheader"
	"encoding/binary"
)

// The ECN field: the low two bits of the TOS octet or traffic class (RFC 3168, Section 5).
const (
	ecnMask = 0x03
	notECT  = 0
	ect1    = 1
	ect0    = 2
	ce      = 3
)

// OuterTOS returns the TOS octet or traffic class of the outer header for an inner one: DSCP is
// copied (RFC 4301, Section 5.1.2.1), and so is ECN in the normal mode of RFC 6040, Section 4.1.
// The octet is the same, whichever the two IP versions are.
func OuterTOS(inner uint8) uint8 { return inner }

// decapECN is Figure 4 of RFC 6040: the outgoing ECN field by [inner][outer]. ecnAlarm marks the
// combinations that no correct sender makes ('(!!!)' and '(!)').
var decapECN = [4][4]struct{ ecn, flags uint8 }{
	notECT: {notECT: {notECT, 0}, ect0: {notECT, ecnAlarm}, ect1: {notECT, ecnAlarm}, ce: {notECT, ecnAlarm | ecnDrop}},
	ect0:   {notECT: {ect0, 0}, ect0: {ect0, 0}, ect1: {ect1, 0}, ce: {ce, 0}},
	ect1:   {notECT: {ect1, 0}, ect0: {ect1, ecnAlarm}, ect1: {ect1, 0}, ce: {ce, 0}},
	ce:     {notECT: {ce, 0}, ect0: {ce, 0}, ect1: {ce, ecnAlarm}, ce: {ce, 0}},
}

const (
	ecnDrop  = 1
	ecnAlarm = 2
)

// DecapTOS returns the inner TOS octet after decapsulation: its DSCP unchanged (RFC 4301, Section
// 5.1.2.1), its ECN field by RFC 6040, Section 4.2. drop: the packet must be dropped, as its sender
// would not understand the congestion mark. alarm: no correct tunnel makes this pair; it is to be
// counted.
func DecapTOS(inner, outer uint8) (tos uint8, drop, alarm bool) {
	entry := decapECN[inner&ecnMask][outer&ecnMask]
	return inner&^ecnMask | entry.ecn, entry.flags&ecnDrop != 0, entry.flags&ecnAlarm != 0
}

// ApplyECN applies DecapTOS to the decapsulated packet pkt, given the outer header's TOS octet, and
// keeps the IPv4 header checksum right. pkt must have been parsed: it begins with a whole IPv4 or
// IPv6 header.
func ApplyECN(pkt []byte, outer uint8) (drop, alarm bool) {
	// The octet lies in the first 16 bits: version, IHL and TOS; or version and traffic class,
	// whose low four bits start the third nibble.
	word := binary.BigEndian.Uint16(pkt)
	v6 := word>>12 == 6
	shift := 0
	if v6 {
		shift = 4
	}
	inner := uint8(word >> shift)
	tos, drop, alarm := DecapTOS(inner, outer)
	if drop || tos == inner {
		return drop, alarm
	}
	changed := word&^(0xff<<shift) | uint16(tos)<<shift
	binary.BigEndian.PutUint16(pkt, changed)
	if !v6 {
		sum := binary.BigEndian.Uint16(pkt[ipheader.IPv4Checksum:])
		binary.BigEndian.PutUint16(pkt[ipheader.IPv4Checksum:], ipheader.Update(sum, word, changed, false))
	}
	return false, alarm
}
