package ipheader

import "encoding/binary"

// TCP options (RFC 9293, Section 3.2).
const (
	tcpOptEnd = 0
	tcpOptNop = 1
	tcpOptMSS = 2
)

// ClampMSS lowers the MSS option of a SYN to largest. tcp is a TCP segment from its header on, and
// is untrusted. fixChecksum means that its checksum is complete, not the sum of the pseudo-header
// alone. ClampMSS reports whether it changed the segment.
func ClampMSS(tcp []byte, largest int, fixChecksum bool) bool {
	if len(tcp) < TCPLen || tcp[TCPFlags]&TCPSYN == 0 {
		return false
	}
	at := findMSS(tcp)
	if at < 0 {
		return false
	}
	old := binary.BigEndian.Uint16(tcp[at:])
	if largest <= 0 || int(old) <= largest {
		return false
	}
	binary.BigEndian.PutUint16(tcp[at:], uint16(largest))
	if fixChecksum {
		sum := binary.BigEndian.Uint16(tcp[TCPChecksum:])
		binary.BigEndian.PutUint16(tcp[TCPChecksum:], Update(sum, old, uint16(largest), at%2 != 0))
	}
	return true
}

// findMSS returns the offset in the TCP header of the value of its MSS option, or -1.
func findMSS(tcp []byte) int {
	end := int(tcp[TCPDataOffset]>>4) * 4
	if end > len(tcp) {
		return -1
	}
	for i := TCPLen; i < end; {
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
