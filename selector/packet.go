package selector

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"culvert/internal/ipheader"
)

// The errors of ParsePacket and ParseFlow.
var (
	ErrVersion   = errors.New("selector: not an IPv4 or IPv6 packet")
	ErrTruncated = errors.New("selector: packet ends before its header or its total length says")
	ErrHeader    = errors.New("selector: impossible header field")
	ErrFragment  = errors.New("selector: impossible or overlapping fragment")
	ErrAddress   = errors.New("selector: address that no packet may carry")
)

// Fragment tells which part of a fragmented packet a packet is.
type Fragment uint8

// Values of Fragment.
const (
	NotFragment   Fragment = iota
	FirstFragment          // offset 0, more to come: the upper-layer header is in it
	LaterFragment          // without ports
)

// A Packet holds the header fields that the packet path needs, so that each packet is parsed once.
type Packet struct {
	Flow
	Version   uint8 // 4 or 6
	TOS       uint8 // the DSCP and ECN bits: the TOS octet, or the traffic class
	HeaderLen int   // the IPv4 header with its options; 40 for IPv6, without extension headers
	Upper     int   // offset of the upper-layer header (of a later fragment: of its data); may equal TotalLen
	TotalLen  int   // of the header, at most the length of the input; padding follows (RFC 4303, Section 2.7)
	DF        bool  // must not be fragmented in transit; always set for IPv6
	Fragment  Fragment
}

const (
	maxDatagram = 65535
	// maxExtensions bounds the work on one packet. RFC 8200, Section 4.1 recommends an order of
	// seven headers, five of which can occur here.
	maxExtensions = 8
)

// ParseFlow returns the flow of a packet; see ParsePacket.
func ParseFlow(pkt []byte) (Flow, error) {
	var p Packet
	if err := ParsePacket(pkt, &p); err != nil {
		return Flow{}, err
	}
	return p.Flow, nil
}

// ParsePacket parses the headers of the IP packet at the start of pkt into p, and sets every field
// of p; after an error p is undefined. pkt is untrusted and may hold anything. ParsePacket
// allocates nothing and keeps no reference to pkt. Only this function tells IP versions apart.
func ParsePacket(pkt []byte, p *Packet) error {
	if len(pkt) == 0 {
		return ErrTruncated
	}
	return parse(pkt, p, false)
}

// parse parses pkt, which is not empty. A quoted packet may be cut short.
func parse(pkt []byte, p *Packet, quoted bool) error {
	switch pkt[0] >> 4 {
	case 4:
		return parseIPv4(pkt, p, quoted)
	case 6:
		return parseIPv6(pkt, p, quoted)
	}
	return ErrVersion
}

// parseIPv4 follows RFC 791, Section 3.1.
func parseIPv4(pkt []byte, p *Packet, quoted bool) error {
	if len(pkt) < ipheader.IPv4Len {
		return ErrTruncated
	}
	header := int(pkt[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(pkt[2:]))
	if header < ipheader.IPv4Len || total < header {
		return ErrHeader
	}
	if total > len(pkt) && !(quoted && header <= len(pkt)) {
		return ErrTruncated
	}
	*p = Packet{Version: 4, TOS: pkt[1], HeaderLen: header, Upper: header, TotalLen: total}
	p.Src = netip.AddrFrom4([4]byte(pkt[12:16]))
	p.Dst = netip.AddrFrom4([4]byte(pkt[16:20]))
	p.Protocol = pkt[9]
	flags := binary.BigEndian.Uint16(pkt[6:])
	p.DF = flags&ipheader.IPv4DF != 0
	offset := int(flags&ipheader.IPv4OffsetMask) * 8
	if err := p.setFragment(offset, flags&ipheader.IPv4MF != 0); err != nil {
		return err
	}
	// RFC 4301, Section 7.2 asks for "a minimum offset check on IPv4 (non-initial) fragments to
	// protect against overlapping fragment attacks". RFC 1858, Section 3.2.2 gives it: a TCP
	// fragment of offset 1 could rewrite the flags.
	if offset == 8 && p.Protocol == ProtoTCP {
		return ErrFragment
	}
	p.parseUpper(pkt[:min(total, len(pkt))])
	return nil
}

// parseIPv6 follows RFC 8200, Sections 3 and 4. Jumbograms (RFC 2675) are not supported: their
// length of 0 reads as an empty payload.
func parseIPv6(pkt []byte, p *Packet, quoted bool) error {
	if len(pkt) < ipheader.IPv6Len {
		return ErrTruncated
	}
	total := ipheader.IPv6Len + int(binary.BigEndian.Uint16(pkt[4:]))
	if total > len(pkt) && !quoted {
		return ErrTruncated
	}
	*p = Packet{Version: 6, TOS: pkt[0]<<4 | pkt[1]>>4, HeaderLen: ipheader.IPv6Len, Upper: ipheader.IPv6Len, TotalLen: total, DF: true}
	p.Src = netip.AddrFrom16([16]byte(pkt[8:24]))
	p.Dst = netip.AddrFrom16([16]byte(pkt[24:40]))
	if p.Src.Is4In6() || p.Dst.Is4In6() {
		return ErrAddress
	}
	p.Protocol = pkt[6]
	pkt = pkt[:min(total, len(pkt))]
	if err := p.skipExtensions(pkt); err != nil {
		return err
	}
	p.parseUpper(pkt)
	return nil
}

// skipExtensions moves Protocol and Upper past the extension headers. Behind the header of a later
// fragment there is only data, whatever its next header field says.
//
// RFC 4301, Section 4.4.1.1: "The default list does NOT include 51 (AH) or 50 (ESP). From a
// selector lookup point of view, IPsec treats AH and ESP as Next Layer Protocols."
func (p *Packet) skipExtensions(pkt []byte) error {
	for range maxExtensions {
		length := 8
		switch p.Protocol {
		case ipheader.ExtHopByHop, ipheader.ExtRouting, ipheader.ExtDestination:
			if len(pkt) < p.Upper+8 {
				return ErrTruncated
			}
			length = 8 * (1 + int(pkt[p.Upper+1]))
		case ipheader.ExtFragment:
		default:
			return nil
		}
		if len(pkt) < p.Upper+length {
			return ErrTruncated
		}
		header := pkt[p.Upper : p.Upper+length]
		fragment := p.Protocol == ipheader.ExtFragment
		p.Protocol = header[0]
		p.Upper += length
		if !fragment {
			continue
		}
		if p.Fragment != NotFragment {
			return ErrFragment // a fragment of a fragment
		}
		field := binary.BigEndian.Uint16(header[2:])
		if err := p.setFragment(int(field&ipheader.IPv6OffsetMask), field&ipheader.IPv6M != 0); err != nil {
			return err
		}
		if p.Fragment == LaterFragment {
			return nil
		}
	}
	return ErrHeader
}

// setFragment sets which fragment the packet is, with its data from Upper to TotalLen. It refuses a
// fragment that ends beyond the largest datagram.
func (p *Packet) setFragment(offset int, more bool) error {
	switch {
	case offset != 0:
		p.Fragment = LaterFragment
	case more:
		p.Fragment = FirstFragment
	}
	if offset+p.TotalLen-p.Upper > maxDatagram {
		return ErrFragment
	}
	return nil
}

// parseUpper reads the ports, or type and code, from the upper-layer header.
func (p *Packet) parseUpper(pkt []byte) {
	upper := pkt[p.Upper:]
	if p.Fragment == LaterFragment || len(upper) < 4 {
		p.PortsUnknown = true
		return
	}
	switch portKinds[p.Protocol] {
	case portsTwo:
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(upper), binary.BigEndian.Uint16(upper[2:])
	case portsICMP:
		p.SrcPort = binary.BigEndian.Uint16(upper)
		p.DstPort = p.SrcPort
	case portsMobility:
		p.SrcPort = uint16(upper[2]) << 8 // RFC 6275, Section 6.1.1
		p.DstPort = p.SrcPort
	default:
		p.PortsUnknown = true
	}
}
