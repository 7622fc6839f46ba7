package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"culvert/internal/ipheader"

	"golang.org/x/sys/unix"
)

// A datagram holds the header fields of a UDP datagram whose IP headers are made here. The
// addresses are of one family.
type datagram struct {
	src, dst netip.AddrPort
	tos      uint8 // or traffic class
	hops     uint8 // time to live, or hop limit
	// id identifies the fragments, over IPv4 by its lower half. It must differ from that of
	// datagrams recently sent from src to dst (RFC 6864, Section 4.3; RFC 8200, Section 4.5).
	id uint32
}

const (
	headerUDP      = 8
	headerIPv4     = 20
	headerIPv6     = 40
	headerFragment = 8

	moreFragments4 = 1 << 13 // RFC 791, Section 3.1
	moreFragments6 = 1       // RFC 8200, Section 4.5
	// fragmentUnit is the unit of offsets: all fragments but the last are multiples of it.
	fragmentUnit = 8
)

var errSmallFragments = errors.New("netio: the fragment size is too small")

// packets returns the datagram with data in as few IP packets as possible, none larger than size
// octets: an unfragmented one if it fits, otherwise fragments of which all but the last are as
// large as possible (RFC 791, Section 3.2; RFC 8200, Section 4.5). They have no DF. They are in
// order, and share no memory with data.
func (d *datagram) packets(data []byte, size int) ([][]byte, error) {
	header, extra, most := headerIPv4, 0, math.MaxUint16-headerIPv4
	if d.dst.Addr().Is6() {
		header, extra, most = headerIPv6, headerFragment, math.MaxUint16
	}
	if headerUDP+len(data) > most {
		return nil, fmt.Errorf("netio: %d octets in a datagram: %w", len(data), unix.EMSGSIZE)
	}
	udp := d.udp(data)
	if header+len(udp) <= size {
		return [][]byte{append(d.header(len(udp), 0, false, false), udp...)}, nil
	}
	room := (size - header - extra) / fragmentUnit * fragmentUnit
	if room < fragmentUnit {
		return nil, fmt.Errorf("%w: %d octets", errSmallFragments, size)
	}
	list := make([][]byte, 0, (len(udp)+room-1)/room)
	for from := 0; from < len(udp); from += room {
		part := udp[from:min(from+room, len(udp))]
		more := from+room < len(udp)
		list = append(list, append(d.header(len(part), from, more, true), part...))
	}
	return list, nil
}

// udp returns the datagram with its checksum (RFC 768; RFC 8200, Section 8.1).
func (d *datagram) udp(data []byte) []byte {
	b := make([]byte, headerUDP, headerUDP+len(data))
	binary.BigEndian.PutUint16(b, d.src.Port())
	binary.BigEndian.PutUint16(b[2:], d.dst.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(headerUDP+len(data)))
	b = append(b, data...)
	sum := ipheader.PseudoSum(d.src.Addr().AsSlice(), d.dst.Addr().AsSlice(), protoUDP, len(b))
	if sum = ^ipheader.Sum(sum, b); sum == 0 {
		sum = math.MaxUint16 // zero means that there is none
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// header returns the IP header of a packet with a part of the datagram: the part's length and
// offset, whether more parts follow, and whether there are several.
func (d *datagram) header(length, offset int, more, several bool) []byte {
	if d.dst.Addr().Is6() {
		return d.header6(length, offset, more, several)
	}
	h := make([]byte, headerIPv4, headerIPv4+length)
	h[0], h[1], h[8], h[9] = 4<<4|headerIPv4/4, d.tos, d.hops, protoUDP
	binary.BigEndian.PutUint16(h[2:], uint16(headerIPv4+length))
	binary.BigEndian.PutUint16(h[4:], uint16(d.id))
	flags := uint16(offset / fragmentUnit)
	if more {
		flags |= moreFragments4
	}
	binary.BigEndian.PutUint16(h[6:], flags)
	copy(h[12:], d.src.Addr().AsSlice())
	copy(h[16:], d.dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[10:], ^ipheader.Sum(0, h))
	return h
}

// header6 is header over IPv6, with a Fragment header if there are several parts.
func (d *datagram) header6(length, offset int, more, several bool) []byte {
	h := make([]byte, headerIPv6, headerIPv6+headerFragment+length)
	binary.BigEndian.PutUint32(h, 6<<28|uint32(d.tos)<<20)
	h[6], h[7] = protoUDP, d.hops
	copy(h[8:], d.src.Addr().AsSlice())
	copy(h[24:], d.dst.Addr().AsSlice())
	if several {
		h[6] = ipheader.ExtFragment
		length += headerFragment
		h = append(h, protoUDP, 0)
		flags := uint16(offset) // in octets: its lowest three bits are free for flags
		if more {
			flags |= moreFragments6
		}
		h = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(h, flags), d.id)
	}
	binary.BigEndian.PutUint16(h[4:], uint16(length))
	return h
}
