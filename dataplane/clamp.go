package dataplane

import (
	"encoding/binary"

	"culvert/selector"
)

// TCP header fields that the clamp looks at (RFC 9293, Section 3.1).
const (
	tcpMinHeader   = 20
	tcpOffsetField = 12
	tcpFlagsField  = 13
	tcpCsumField   = 16
	tcpFlagSYN     = 0x02

	tcpOptEnd = 0
	tcpOptNop = 1
	tcpOptMSS = 2

	ipv4MinHeader = 20
	ipv6Header    = 40
)

// clampMSS lowers the MSS option of a SYN to what fits into one inner packet of mtu octets, so that
// TCP need not find out the MTU by loss. The option counts neither the fixed headers of IP and TCP
// nor their options (RFC 6691, Section 2). fixChecksum means that the TCP checksum is complete, not
// the sum of the pseudo-header alone. It reports whether it changed the packet.
func clampMSS(pkt []byte, hdr *selector.Packet, mtu int, fixChecksum bool) bool {
	if hdr.Protocol != selector.ProtoTCP || hdr.Fragment != selector.NotFragment {
		return false
	}
	tcp := pkt[hdr.Upper:hdr.TotalLen]
	if len(tcp) < tcpMinHeader || tcp[tcpFlagsField]&tcpFlagSYN == 0 {
		return false
	}
	at := findMSS(tcp)
	if at < 0 {
		return false
	}
	largest := mtu - ipv4MinHeader - tcpMinHeader
	if hdr.Version == 6 {
		largest = mtu - ipv6Header - tcpMinHeader
	}
	old := binary.BigEndian.Uint16(tcp[at:])
	if largest <= 0 || int(old) <= largest {
		return false
	}
	binary.BigEndian.PutUint16(tcp[at:], uint16(largest))
	if fixChecksum {
		sum := binary.BigEndian.Uint16(tcp[tcpCsumField:])
		binary.BigEndian.PutUint16(tcp[tcpCsumField:], updateChecksum(sum, old, uint16(largest), at%2 != 0))
	}
	return true
}

// findMSS is where in the TCP header the value of its MSS option stands, or -1.
func findMSS(tcp []byte) int {
	end := int(tcp[tcpOffsetField]>>4) * 4
	if end > len(tcp) {
		return -1
	}
	for i := tcpMinHeader; i < end; {
		switch tcp[i] {
		case tcpOptEnd:
			return -1
		case tcpOptNop:
			i++
			continue
		}
		if i+2 > end || tcp[i+1] < 2 || i+int(tcp[i+1]) > end {
			return -1
		}
		if tcp[i] == tcpOptMSS && tcp[i+1] == 4 {
			return i + 2
		}
		i += int(tcp[i+1])
	}
	return -1
}

// updateChecksum is RFC 1624, Section 3, equation 3: HC' = ~(~HC + ~m + m'). A field at an odd offset adds its octets to the other halves.
func updateChecksum(sum, old, new uint16, odd bool) uint16 {
	if odd {
		old, new = old<<8|old>>8, new<<8|new>>8
	}
	s := uint32(^sum) + uint32(^old) + uint32(new)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	return ^uint16(s)
}
