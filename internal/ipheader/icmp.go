package ipheader

import "encoding/binary"

// Types and codes of the ICMP errors that a gateway sends to the senders of packets.
const (
	ICMPUnreachable    = 3 // RFC 792
	ICMPFragNeeded     = 4 // RFC 1191, Section 4
	ICMPProhibited     = 13
	ICMPv6Unreachable  = 1
	ICMPv6Prohibited   = 1 // of type 1 (RFC 4443, Section 3.1)
	ICMPv6PacketTooBig = 2
)

// MaxICMPError is the most octets that ICMPError.Append appends.
const MaxICMPError = icmpv6Most

const (
	icmpv4Most = 576  // RFC 1812, Section 4.3.2.3: as much as fits into 576 octets
	icmpv6Most = 1280 // RFC 4443, Section 2.4 (c): at most the minimum IPv6 MTU
	icmpTTL    = 64

	protoICMP   = 1
	protoICMPv6 = 58
)

// An ICMPError is an ICMP error in its IPv4 and its IPv6 form.
type ICMPError struct {
	Type4, Code4 uint8
	Type6, Code6 uint8
	MTU          int // 0: none
}

// Prohibited returns the error about a packet that a policy forbids.
func Prohibited() ICMPError {
	return ICMPError{Type4: ICMPUnreachable, Code4: ICMPProhibited, Type6: ICMPv6Unreachable, Code6: ICMPv6Prohibited}
}

// TooBig returns the error about a packet larger than mtu that must not be fragmented.
func TooBig(mtu int) ICMPError {
	return ICMPError{Type4: ICMPUnreachable, Code4: ICMPFragNeeded, Type6: ICMPv6PacketTooBig, MTU: mtu}
}

// Append appends the IP packet with the error about pkt, a whole IP packet, to b: from the
// destination of pkt to its source, quoting as much of pkt as an error may. The caller decides
// whether an error about pkt may be sent at all.
func (e ICMPError) Append(b, pkt []byte) []byte {
	if pkt[0]>>4 == 4 {
		return e.append4(b, pkt[:min(len(pkt), icmpv4Most-IPv4Len-ICMPLen)])
	}
	return e.append6(b, pkt[:min(len(pkt), icmpv6Most-IPv6Len-ICMPLen)])
}

func (e ICMPError) append4(b, quote []byte) []byte {
	src, dst := quote[16:20], quote[12:16]
	ip := len(b)
	b = append(b, 0x45, 0xc0) // RFC 1812, Section 4.3.2.5: precedence 6
	b = binary.BigEndian.AppendUint16(b, uint16(IPv4Len+ICMPLen+len(quote)))
	b = append(b, 0, 0, 0x40, 0, icmpTTL, protoICMP, 0, 0)
	b = append(append(b, src...), dst...)
	binary.BigEndian.PutUint16(b[ip+IPv4Checksum:], ^Sum(0, b[ip:]))
	icmp := len(b)
	b = append(b, e.Type4, e.Code4, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(min(e.MTU, 0xffff)))
	b = append(b, quote...)
	binary.BigEndian.PutUint16(b[icmp+ICMPChecksum:], ^Sum(0, b[icmp:]))
	return b
}

func (e ICMPError) append6(b, quote []byte) []byte {
	src, dst := quote[24:40], quote[8:24]
	length := ICMPLen + len(quote)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, protoICMPv6, icmpTTL)
	b = append(append(b, src...), dst...)
	icmp := len(b)
	b = append(b, e.Type6, e.Code6, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(e.MTU))
	b = append(b, quote...)
	sum := Sum(PseudoSum(src, dst, protoICMPv6, length), b[icmp:])
	binary.BigEndian.PutUint16(b[icmp+ICMPChecksum:], ^sum)
	return b
}
