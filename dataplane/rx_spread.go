package dataplane

import (
	"encoding/binary"

	"culvert/internal/ipheader"
)

// All that a peer sends comes to one worker, in one order (rxOrder). The kernel gives the answers
// of a flow to the TUN queue that its packets were written to, and if that were always the same
// worker's, one worker would send all answers, on one SA and from one port:
//
//	worker 0:  receives flows 1 2 3 4   writes 1 to queue 0, 2 to queue 1, 3 to queue 0 ...
//	worker 1:                           reads the answers of 2 and 4, and sends them
//
// So where the peer makes SAs for single workers, the flows are spread over the queues. A flow has
// one for good, whichever SA it comes on: neither it nor its answers are reordered when workers get
// SAs of their own, or when these are rekeyed or go. The writes stay in the order of arrival, by
// whichever worker has the turn.

// flowHash returns a number that is the same for all packets of a flow in one direction. That of
// fragments, and of packets with IPv6 extension headers, is of the addresses alone.
func flowHash(pkt []byte) uint32 {
	const odd, tcp, udp = 0x9e3779b97f4a7c15, 6, 17
	h, proto, ports := uint64(0), uint8(0), ipheader.IPv6Len
	if pkt[0]>>4 == 4 {
		h, proto, ports = binary.BigEndian.Uint64(pkt[12:]), pkt[9], int(pkt[0]&15)*4
		if binary.BigEndian.Uint16(pkt[ipheader.IPv4Fragment:])&(ipheader.IPv4MF|ipheader.IPv4OffsetMask) != 0 {
			proto = 0
		}
	} else {
		proto = pkt[6]
		for at := 8; at < ipheader.IPv6Len; at += 8 {
			h = (h ^ binary.BigEndian.Uint64(pkt[at:])) * odd
		}
	}
	if (proto == tcp || proto == udp) && len(pkt) >= ports+4 {
		h = h*odd ^ uint64(binary.BigEndian.Uint32(pkt[ports:]))
	}
	h *= odd
	return uint32((h ^ h>>29) * odd >> 32)
}
