package dataplane

import (
	"encoding/binary"

	"culvert/internal/ipheader"
	"culvert/selector"
)

// TCP options (RFC 9293, Section 3.2).
const (
	tcpOptEnd = 0
	tcpOptNop = 1
	tcpOptMSS = 2
)

// clampMSS lowers the MSS option of a SYN to the size that fits into one inner packet of mtu
// octets, so that TCP does not have to find the MTU by loss. The option counts neither the fixed
// headers of IP and TCP nor their options (RFC 6691, Section 2). fixChecksum means that the TCP
// checksum is complete, not the sum of the pseudo-header alone. It reports whether it changed the
// packet.
func clampMSS(pkt []byte, hdr *selector.Packet, mtu int, fixChecksum bool) bool {
	if hdr.Protocol != selector.ProtoTCP || hdr.Fragment != selector.NotFragment {
		return false
	}
	tcp := pkt[hdr.Upper:hdr.TotalLen]
	if len(tcp) < ipheader.TCPLen || tcp[ipheader.TCPFlags]&ipheader.TCPSYN == 0 {
		return false
	}
	at := findMSS(tcp)
	if at < 0 {
		return false
	}
	largest := mtu - ipheader.IPv4Len - ipheader.TCPLen
	if hdr.Version == 6 {
		largest = mtu - ipheader.IPv6Len - ipheader.TCPLen
	}
	old := binary.BigEndian.Uint16(tcp[at:])
	if largest <= 0 || int(old) <= largest {
		return false
	}
	binary.BigEndian.PutUint16(tcp[at:], uint16(largest))
	if fixChecksum {
		sum := binary.BigEndian.Uint16(tcp[ipheader.TCPChecksum:])
		binary.BigEndian.PutUint16(tcp[ipheader.TCPChecksum:], ipheader.Update(sum, old, uint16(largest), at%2 != 0))
	}
	return true
}

// findMSS returns the offset in the TCP header of the value of its MSS option, or -1.
func findMSS(tcp []byte) int {
	end := int(tcp[ipheader.TCPDataOffset]>>4) * 4
	if end > len(tcp) {
		return -1
	}
	for i := ipheader.TCPLen; i < end; {
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
