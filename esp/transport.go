package esp

import (
	"encoding/binary"
	"net/netip"

	"culvert/internal/ipheader"
)

// Transport mode (RFC 4303, Section 3.1.1): the IP header of the packet stays in front of ESP, and
// names ESP in place of the protocol that is protected. What goes into Seal, and comes out of Open,
// is the packet without that header.
//
//	+-----------+---------------+
//	| IP header | TCP, data     |
//	+-----------+---------------+
//	+-----------+-----+----+----------------+------------------------+-----+
//	| IP header | ESP | IV | TCP, data      | padding, next header 6 | ICV |
//	+-----------+-----+----+----------------+------------------------+-----+

// TransportMTU returns the size of the largest packet, with its IP header of the path's version,
// that fits a path MTU when sealed in transport mode. It returns 0 if nothing fits.
func (f Format) TransportMTU(pathMTU int, v6, encap bool) int {
	n := f.InnerMTU(pathMTU, v6, encap)
	if n == 0 {
		return 0
	}
	return n + ipLen(v6)
}

// TransportLen returns the length of the outer packet for a packet of n octets, with its IP header,
// in transport mode.
func (f Format) TransportLen(n int, v6, encap bool) int {
	return f.OuterLen(max(n-ipLen(v6), 0), v6, encap)
}

// ipLen returns the length of an IP header without options.
func ipLen(v6 bool) int {
	if v6 {
		return outerIPv6
	}
	return outerIPv4
}

// TransportPayload returns where the part of a whole packet begins that transport mode seals, and
// its protocol. pkt must have been parsed. ok is false for a packet whose IP header a socket does
// not send: one with IPv4 options, or with extension headers that stay in front of ESP (hop-by-hop,
// routing, fragment). Destination options in front of no routing header go behind ESP, where RFC
// 4303, Section 3.1.1 allows them.
func TransportPayload(pkt []byte) (begin int, protocol uint8, ok bool) {
	if pkt[0]>>4 == 4 {
		return ipheader.IPv4Len, pkt[9], int(pkt[0]&15)*4 == ipheader.IPv4Len
	}
	next, at := pkt[6], ipheader.IPv6Len
	for next == ipheader.ExtDestination {
		next, at = pkt[at], at+8*(1+int(pkt[at+1]))
	}
	return ipheader.IPv6Len, pkt[6], next != ipheader.ExtHopByHop && next != ipheader.ExtRouting && next != ipheader.ExtFragment
}

// A HostPair rebuilds the packets that are received in transport mode. It holds the two addresses
// of the SA, and what they are to the peer (RFC 7296, Section 2.23.1). It is not changed.
type HostPair struct {
	header  [ipheader.IPv6Len]byte
	size    int    // of the header
	sum     uint16 // of the IPv4 header, without length, TOS and protocol
	delta   uint16 // what the addresses add to a sum, less those that the peer sees
	differs bool   // the two differ
}

// NewHostPair returns the pair for packets from remote to local, whose sender makes them, with
// their checksums, as from seenRemote to seenLocal. All addresses are of one family.
func NewHostPair(local, remote, seenLocal, seenRemote netip.Addr) *HostPair {
	p := &HostPair{size: ipLen(local.Is6()), differs: local != seenLocal || remote != seenRemote}
	h := p.header[:p.size]
	addresses := append(remote.AsSlice(), local.AsSlice()...)
	copy(h[p.size-len(addresses):], addresses)
	seen := append(seenRemote.AsSlice(), seenLocal.AsSlice()...)
	p.delta = ipheader.Fold(uint64(ipheader.Sum(0, addresses)) + uint64(^ipheader.Sum(0, seen)))
	const hopLimit = 64
	if local.Is6() {
		h[0], h[7] = 6<<4, hopLimit
		return p
	}
	h[0], h[8] = 4<<4|ipheader.IPv4Len/4, hopLimit
	binary.BigEndian.PutUint16(h[ipheader.IPv4Fragment:], ipheader.IPv4DF)
	p.sum = ipheader.Sum(0, h)
	return p
}

// Len returns the length of the packet of a payload of n octets; ok is false if it would be too
// long for its header.
func (p *HostPair) Len(n int) (length int, ok bool) {
	total := p.size + n
	if p.size == outerIPv6 {
		return total, n <= 0xffff
	}
	return total, total <= 0xffff
}

// Rebuild writes the packet of an opened payload to dst, which is of the length that Len returns:
// an IP header with the addresses of the pair, the outer TOS octet or traffic class, and the
// protocol, then the payload. The checksum of TCP, UDP and ICMPv6 is updated for the addresses that
// differ from those that the peer saw (RFC 3948, Section 3.1.2); a wrong one stays wrong. It
// reports false for a protocol that is never behind ESP in transport mode.
//
// The hop limit and the identification of the outer header are not known: packets have 64, and the
// flag that they must not be fragmented.
func (p *HostPair) Rebuild(dst, payload []byte, protocol, tos uint8) bool {
	v6 := p.size == outerIPv6
	if v6 && (protocol == ipheader.ExtHopByHop || protocol == ipheader.ExtRouting || protocol == ipheader.ExtFragment) {
		return false
	}
	h := dst[:copy(dst, p.header[:p.size])]
	copy(dst[p.size:], payload)
	if v6 {
		h[0], h[1] = 6<<4|tos>>4, tos<<4
		binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
		h[6] = protocol
	} else {
		h[1], h[9] = tos, protocol
		binary.BigEndian.PutUint16(h[ipheader.IPv4TotalLength:], uint16(len(dst)))
		sum := ipheader.Fold(uint64(p.sum) + uint64(tos) + uint64(len(dst)) + uint64(protocol))
		binary.BigEndian.PutUint16(h[ipheader.IPv4Checksum:], ^sum)
	}
	if p.differs {
		p.fixChecksum(dst[p.size:], protocol, v6)
	}
	return true
}

// Where the checksums are that cover the addresses. Those of UDP-Lite (RFC 3828) and DCCP (RFC
// 4340, with all octets covered) are where that of UDP is.
const (
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoUDPLite = 136
)

// fixChecksum updates the checksum of an upper-layer packet.
func (p *HostPair) fixChecksum(upper []byte, protocol uint8, v6 bool) {
	at := ipheader.UDPChecksum
	switch protocol {
	case protoTCP:
		at = ipheader.TCPChecksum
	case protoUDP, protoUDPLite, protoDCCP:
	case protoICMPv6:
		if at = ipheader.ICMPChecksum; !v6 {
			return
		}
	default:
		return
	}
	if len(upper) < at+2 {
		return
	}
	field := upper[at : at+2]
	old := binary.BigEndian.Uint16(field)
	if old == 0 && protocol == protoUDP { // RFC 768: it has none
		return
	}
	// RFC 1624, Section 3: HC' = ~(~HC + ~m + m').
	sum := ^ipheader.Fold(uint64(^old) + uint64(p.delta))
	if sum == 0 && protocol == protoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
}
