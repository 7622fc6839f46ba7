package netlab

import (
	"encoding/binary"
	"net/netip"
)

// A Packet holds the header fields of an IP packet.
type Packet struct {
	Src, Dst netip.Addr
	// Protocol is that of the payload, in IPv6 the one after the extension headers. Of a later
	// fragment only the headers are known, and the ports and the quotation are zero.
	Protocol         uint8
	SrcPort, DstPort uint16 // of TCP and UDP
	ICMPType         uint8
	// Quoted is the packet that an ICMP or ICMPv6 error or redirect quotes. Fields that were cut
	// off are zero; of an ICMPv6 redirect without a quotation only Dst is known.
	Quoted *Packet
}

// Protocols and extension headers, by IANA's numbers.
const (
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoICMPv6   = 58
	extHopByHop   = 0
	extRouting    = 43
	extFragment   = 44
	extAH         = 51
	extDstOptions = 60
	extMobility   = 135
	extHIP        = 139
	extShim6      = 140
)

const (
	etherHeader   = 14
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
)

// ParseFrame parses the IP packet in an Ethernet frame; it returns false if there is none.
func ParseFrame(frame []byte) (Packet, bool) {
	if len(frame) < etherHeader {
		return Packet{}, false
	}
	switch ip := frame[etherHeader:]; binary.BigEndian.Uint16(frame[etherHeader-2:]) {
	case etherTypeIPv4:
		return parseIPv4(ip, true)
	case etherTypeIPv6:
		return parseIPv6(ip, true)
	}
	return Packet{}, false
}

func parseIPv4(b []byte, quotes bool) (p Packet, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.Protocol = b[9]
	const offset = 0x1fff
	header := int(b[0]&0x0f) * 4
	if binary.BigEndian.Uint16(b[6:])&offset == 0 && header >= 20 && header <= len(b) {
		p.payload(b[header:], quotes)
	}
	return p, true
}

func parseIPv6(b []byte, quotes bool) (p Packet, ok bool) {
	if len(b) < 40 {
		return p, false
	}
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	var rest []byte
	if p.Protocol, rest = skipExtensions(b[6], b[40:]); rest != nil {
		p.payload(rest, quotes)
	}
	return p, true
}

// skipExtensions returns the protocol after the extension headers and its payload, which is nil if
// b does not have it, or not from its beginning (a later fragment).
func skipExtensions(next uint8, b []byte) (protocol uint8, payload []byte) {
	const fragmentOffset = 0xfff8
	for {
		size := 0
		switch next {
		case extHopByHop, extRouting, extDstOptions, extMobility, extHIP, extShim6:
			if len(b) >= 2 {
				size = 8 + int(b[1])*8
			}
		case extAH:
			if len(b) >= 2 {
				size = 8 + int(b[1])*4
			}
		case extFragment:
			size = 8
		default:
			return next, b
		}
		if size == 0 || len(b) < size {
			return next, nil
		}
		if next == extFragment && binary.BigEndian.Uint16(b[2:])&fragmentOffset != 0 {
			return b[0], nil
		}
		next, b = b[0], b[size:]
	}
}

// payload parses the transport header. An error never quotes an error.
func (p *Packet) payload(b []byte, quotes bool) {
	switch p.Protocol {
	case protoTCP, protoUDP:
		if len(b) >= 4 {
			p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	case protoICMP:
		if len(b) >= 1 {
			p.ICMPType = b[0]
		}
		if quotes && len(b) >= 8 {
			p.Quoted = quotedInICMP(b[0], b[8:])
		}
	case protoICMPv6:
		if len(b) >= 1 {
			p.ICMPType = b[0]
		}
		if quotes && len(b) >= 8 {
			p.Quoted = quotedInICMPv6(b[0], b[8:])
		}
	}
}

// quotedInICMP returns the packet that an ICMP message of the type quotes (RFC 792), or nil.
func quotedInICMP(kind uint8, b []byte) *Packet {
	const unreachable, quench, redirect, timeExceeded, parameterProblem = 3, 4, 5, 11, 12
	switch kind {
	case unreachable, quench, redirect, timeExceeded, parameterProblem:
		if q, ok := parseIPv4(b, false); ok {
			return &q
		}
	}
	return nil
}

// quotedInICMPv6 returns the packet that an ICMPv6 message of the type quotes, or nil: types below
// 128 are errors (RFC 4443, Section 2.1), and a redirect has the packet in an option (RFC 4861,
// Section 4.5).
func quotedInICMPv6(kind uint8, b []byte) *Packet {
	const firstInformational, redirect, redirectedHeader = 128, 137, 4
	switch {
	case kind < firstInformational:
		if q, ok := parseIPv6(b, false); ok {
			return &q
		}
	case kind == redirect && len(b) >= 32:
		destination := netip.AddrFrom16([16]byte(b[16:32]))
		for o := b[32:]; len(o) >= 8 && o[1] > 0; o = o[min(len(o), int(o[1])*8):] {
			if o[0] == redirectedHeader {
				if q, ok := parseIPv6(o[8:], false); ok {
					return &q
				}
			}
		}
		return &Packet{Dst: destination}
	}
	return nil
}
