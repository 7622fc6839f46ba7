package selector

import (
	"encoding/binary"
	"net/netip"

	"culvert/internal/ipheader"
)

// A DatagramID identifies the datagram of a fragment: by RFC 791, Section 3.2 the addresses, the
// protocol and the identification; by RFC 8200, Section 4.5 without the protocol, which is 0 here
// for IPv6.
type DatagramID struct {
	Src, Dst netip.Addr
	Protocol uint8
	ID       uint32
}

// FragmentOf returns the datagram of the fragment p, and the octets of it, begin to end, that p
// holds. pkt must be the input from which ParsePacket set p, and p must be a fragment.
func (p *Packet) FragmentOf(pkt []byte) (d DatagramID, begin, end int) {
	d = DatagramID{Src: p.Src, Dst: p.Dst}
	if p.Version == 4 {
		d.Protocol, d.ID = p.Protocol, uint32(binary.BigEndian.Uint16(pkt[4:]))
		begin = int(binary.BigEndian.Uint16(pkt[6:])&ipheader.IPv4OffsetMask) * 8
		return d, begin, begin + p.TotalLen - p.HeaderLen
	}
	at, length := p.HeaderLen, 8
	for next := pkt[6]; ; next, at = pkt[at], at+length {
		if length = 8; next != ipheader.ExtFragment {
			length = 8 * (1 + int(pkt[at+1]))
			continue
		}
		field := binary.BigEndian.Uint16(pkt[at+2:])
		if field&(ipheader.IPv6OffsetMask|ipheader.IPv6M) == 0 {
			continue // RFC 6946: an atomic fragment, which ParsePacket skips
		}
		d.ID = binary.BigEndian.Uint32(pkt[at+4:])
		begin = int(field & ipheader.IPv6OffsetMask)
		return d, begin, begin + p.TotalLen - at - 8
	}
}
