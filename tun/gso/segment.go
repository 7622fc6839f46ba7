package gso

import (
	"encoding/binary"

	"culvert/internal/ipheader"
	"culvert/selector"
)

// TCP flags in segments that are gathered.
const (
	tcpFinal = ipheader.TCPFIN | ipheader.TCPPSH // nothing follows in the same super-packet
	// SYN, RST, URG, CWR: only ever alone.
	tcpLone = ipheader.TCPSYN | ipheader.TCPRST | ipheader.TCPURG | ipheader.TCPCWR
)

// ipv4DF is the flag in its octet.
const ipv4DF = ipheader.IPv4DF >> 8

// segment is a TCP or UDP packet with payload that may be a part of a super-packet, by its own
// headers.
type segment struct {
	pkt     []byte
	start   int // of the upper-layer header
	data    int // of the payload
	udp, v6 bool
}

// parse makes s of a packet that is not a fragment. It reports false for packets that Linux's GRO
// never gathers: without payload, with IPv4 options or IPv6 extension headers, with flags of their
// own meaning, with lengths that contradict each other, UDP without a checksum.
func (s *segment) parse(pkt []byte, hdr *selector.Packet) bool {
	*s = segment{pkt: pkt, start: hdr.Upper, v6: hdr.Version == 6}
	if s.v6 {
		if s.start != ipheader.IPv6Len {
			return false
		}
	} else if s.start != ipheader.IPv4Len || pkt[6]&^ipv4DF != 0 { // the reserved bit (RFC 791, Section 3.1)
		return false
	}
	switch hdr.Protocol {
	case selector.ProtoTCP:
		return s.parseTCP()
	case selector.ProtoUDP:
		return s.parseUDP()
	}
	return false
}

func (s *segment) parseTCP() bool {
	tcp := s.upper()
	if len(tcp) <= ipheader.TCPLen || tcp[ipheader.TCPFlags]&tcpLone != 0 {
		return false
	}
	n := int(tcp[ipheader.TCPDataOffset]>>4) * 4
	s.data = s.start + n
	return n >= ipheader.TCPLen && n < len(tcp)
}

func (s *segment) parseUDP() bool {
	udp := s.upper()
	s.udp, s.data = true, s.start+ipheader.UDPLen
	return len(udp) > ipheader.UDPLen && int(binary.BigEndian.Uint16(udp[ipheader.UDPLength:])) == len(udp) && binary.BigEndian.Uint16(udp[ipheader.UDPChecksum:]) != 0
}

func (s *segment) upper() []byte   { return s.pkt[s.start:] }
func (s *segment) payload() []byte { return s.pkt[s.data:] }
func (s *segment) len() int        { return len(s.pkt) - s.data }
func (s *segment) hdrLen() int     { return s.data - s.start }
func (s *segment) id() uint16      { return binary.BigEndian.Uint16(s.pkt[4:]) }

// final reports whether s must be the last segment of its super-packet.
func (s *segment) final() bool { return !s.udp && s.upper()[ipheader.TCPFlags]&tcpFinal != 0 }

// sameNetwork reports whether the IP headers of two packets of one flow are equal in what all
// segments of one super-packet have in common: the TOS or traffic class with its ECN bits, the flow
// label, the time to live or hop limit, and whether they may be fragmented.
func (s *segment) sameNetwork(t *segment) bool {
	a, b := s.pkt, t.pkt
	if s.v6 {
		return binary.BigEndian.Uint32(a) == binary.BigEndian.Uint32(b) && a[7] == b[7]
	}
	return a[1] == b[1] && a[6] == b[6] && a[8] == b[8]
}

// addresses returns the octets of source and destination.
func (s *segment) addresses() (src, dst []byte) {
	if s.v6 {
		return s.pkt[8:24], s.pkt[24:40]
	}
	return s.pkt[12:16], s.pkt[16:20]
}

// pseudo returns the sum of the pseudo-header for length octets of upper layer.
func (s *segment) pseudo(length int) uint16 {
	src, dst := s.addresses()
	proto := uint8(selector.ProtoTCP)
	if s.udp {
		proto = selector.ProtoUDP
	}
	return ipheader.PseudoSum(src, dst, proto, length)
}

// intact reports whether the checksums are right. Those of a super-packet are computed again, which
// would make right ones of wrong ones.
func (s *segment) intact() bool {
	if !s.v6 && ipheader.Sum(0, s.pkt[:ipheader.IPv4Len]) != 0xffff {
		return false
	}
	upper := s.upper()
	return ipheader.Sum(s.pseudo(len(upper)), upper) == 0xffff
}

// describe makes the header of s that of a super-packet of total octets that begins with s, and
// sets p to describe it.
func (s *segment) describe(p *Packet, total int) {
	length := total - s.start
	csum := ipheader.TCPChecksum
	if s.udp {
		csum = ipheader.UDPChecksum
		binary.BigEndian.PutUint16(s.upper()[ipheader.UDPLength:], uint16(length))
	}
	binary.BigEndian.PutUint16(s.upper()[csum:], s.pseudo(length))
	*p = Packet{
		GSO: s.gso(), SegSize: uint16(s.len()), HdrLen: uint16(s.data),
		NeedsChecksum: true, CsumStart: uint16(s.start), CsumOffset: uint16(csum),
	}
	if s.v6 {
		binary.BigEndian.PutUint16(s.pkt[4:], uint16(length))
		return
	}
	binary.BigEndian.PutUint16(s.pkt[2:], uint16(total))
	binary.BigEndian.PutUint16(s.pkt[ipheader.IPv4Checksum:], 0)
	binary.BigEndian.PutUint16(s.pkt[ipheader.IPv4Checksum:], ^ipheader.Sum(0, s.pkt[:ipheader.IPv4Len]))
}

func (s *segment) gso() Type {
	switch {
	case s.udp:
		return UDP
	case s.v6:
		return TCPv6
	}
	return TCPv4
}
