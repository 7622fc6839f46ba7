package gso

import (
	"culvert/internal/ipheader"
	"encoding/binary"
	"errors"
)

// maxHeader bounds the IP and upper-layer headers of a super-packet: 40 + 60 octets of TCP leave
// 156 for IPv6 extension headers.
const maxHeader = 256

var errSegment = errors.New("gso: not a super-packet that can be cut")

// Segmenter cuts a super-packet into ordinary packets, in place and without copying payload:
//
//	| header | payload 0 | payload 1 | payload 2 |    the packet, as read
//	|<------ segment 0 ----->|
//	              | header |<--- payload 1     the header of segment 1 goes over the end of
//	              |<-- segment 1 ->|            payload 0, which is used up by then
//
// An ordinary packet is a super-packet of one, so a caller needs no second path. The zero value is
// ready; it allocates nothing and is not for concurrent use.
type Segmenter struct {
	data  []byte
	gso   bool
	done  bool
	size  int // payload octets in each segment but the last
	next  int // offset in data of the next segment's payload
	index int
	head  template
}

// template is the super-packet's header, from which each segment's is made.
type template struct {
	layout
	octets [maxHeader]byte
	pseudo uint16 // sum of the pseudo-header without its length
	noCsum bool   // IPv4 UDP without a checksum stays without
	ipID   uint16
	seq    uint32
	flags  uint8
}

// Reset starts on p, whose checksum it may complete. p.Data belongs to the Segmenter until the last
// segment is used up. After an error the packet cannot be sent.
func (s *Segmenter) Reset(p *Packet) error {
	s.data, s.index, s.done, s.gso = p.Data, 0, false, p.GSO != None
	if !s.gso {
		CompleteChecksum(p)
		return nil
	}
	s.done = true // until all is well
	if err := s.head.parse(p.Data); err != nil {
		return err
	}
	hdr := s.head.payload
	s.size = int(p.SegSize)
	if hdr > maxHeader || s.size == 0 || hdr+s.size > MaxPacket || (p.GSO == UDP) != (s.head.proto == protoUDP) {
		return errSegment
	}
	s.done, s.next = false, hdr
	s.head.take(p)
	return nil
}

// take reads the header of p, whose layout is known.
func (h *template) take(p *Packet) {
	copy(h.octets[:], p.Data[:h.payload])
	src, dst := h.addresses(p.Data)
	h.pseudo = ipheader.PseudoSum(src, dst, h.proto, 0)
	l4 := p.Data[h.start:]
	h.noCsum = !p.NeedsChecksum && h.proto == protoUDP && !h.v6 && binary.BigEndian.Uint16(l4[ipheader.UDPChecksum:]) == 0
	h.ipID = binary.BigEndian.Uint16(p.Data[4:])
	if h.proto == protoTCP {
		h.seq, h.flags = binary.BigEndian.Uint32(l4[ipheader.TCPSeq:]), l4[ipheader.TCPFlags]
	}
}

// Len returns the number of all segments.
func (s *Segmenter) Len() int {
	if !s.gso {
		return 1
	}
	return max(1, (len(s.data)-s.head.payload+s.size-1)/s.size)
}

// Next returns the next whole packet, or nil after the last. It lies in the super-packet's own
// octets and overwrites up to a header's length of the segment before, which must be used up. The
// octets after it are still to come: they must not be written.
func (s *Segmenter) Next() []byte {
	if s.done {
		return nil
	}
	if !s.gso {
		s.done = true
		return s.data
	}
	start, end := s.next-s.head.payload, min(s.next+s.size, len(s.data))
	s.done = end == len(s.data)
	pkt := s.data[start:end:end]
	if s.index > 0 {
		copy(pkt, s.head.octets[:s.head.payload])
	}
	s.putHeader(pkt)
	s.next = end
	s.index++
	return pkt
}

// putHeader turns the super-packet's header at the front of pkt into that of the present segment.
func (s *Segmenter) putHeader(pkt []byte) {
	if s.head.v6 {
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-ipheader.IPv6Len))
	} else {
		binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
		binary.BigEndian.PutUint16(pkt[4:], s.head.ipID+uint16(s.index)) // each packet its own, as if it had been sent alone
		putIPv4Checksum(pkt[:s.head.start])
	}
	l4 := pkt[s.head.start:]
	if s.head.proto == protoTCP {
		s.putTCP(l4)
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	if s.head.noCsum {
		return
	}
	field := l4[s.head.csumOffset():]
	binary.BigEndian.PutUint16(field, 0)
	sum := ipheader.Fold(uint64(s.head.pseudo) + uint64(len(l4)))
	binary.BigEndian.PutUint16(field, ipheader.Finish(ipheader.Sum(sum, l4)))
}

// putTCP sets what differs between segments: FIN and PSH belong to the last octet, so to the last
// segment; CWR is set in the first alone (RFC 3168, Section 6.1.2).
func (s *Segmenter) putTCP(l4 []byte) {
	binary.BigEndian.PutUint32(l4[ipheader.TCPSeq:], s.head.seq+uint32(s.index*s.size))
	flags := s.head.flags
	if !s.done {
		flags &^= ipheader.TCPFIN | ipheader.TCPPSH
	}
	if s.index > 0 {
		flags &^= ipheader.TCPCWR
	}
	l4[ipheader.TCPFlags] = flags
}

func putIPv4Checksum(hdr []byte) {
	binary.BigEndian.PutUint16(hdr[10:], 0)
	binary.BigEndian.PutUint16(hdr[10:], ^ipheader.Sum(0, hdr))
}

// Splitter does in software what a device without offloads cannot: it makes ordinary, complete
// packets of super-packets.
type Splitter struct {
	buf []byte
	seg Segmenter
}

// Write gathers p's pieces, and gives each packet in them to out. The first error ends it: the rest
// of the packet is lost.
func (s *Splitter) Write(p *Packet, pieces [][]byte, out func([]byte) error) error {
	if len(pieces) == 1 && p.GSO == None && !p.NeedsChecksum {
		return out(pieces[0]) // nothing to change: no copy
	}
	s.buf = s.buf[:0]
	for _, b := range pieces {
		s.buf = append(s.buf, b...)
	}
	q := *p
	q.Data = s.buf
	if err := s.seg.Reset(&q); err != nil {
		return err
	}
	for pkt := s.seg.Next(); pkt != nil; pkt = s.seg.Next() {
		if err := out(pkt); err != nil {
			return err
		}
	}
	return nil
}
