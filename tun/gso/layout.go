package gso

import (
	"culvert/internal/ipheader"
	"encoding/binary"
	"errors"
)

// Protocol numbers.
const (
	protoTCP = 6
	protoUDP = 17
)

var errNotTransport = errors.New("gso: neither TCP nor UDP, or a fragment, or cut short")

// layout holds where the headers of an unfragmented TCP or UDP packet begin and end, as offsets
// from the IP header.
type layout struct {
	v6      bool
	proto   uint8 // protoTCP or protoUDP
	start   int   // of the upper-layer header
	payload int   // of what follows the upper-layer header
}

// parse reads the headers of data. It sets l only if there is no error.
func (l *layout) parse(data []byte) error {
	var n layout
	if len(data) == 0 {
		return errNotTransport
	}
	var err error
	switch data[0] >> 4 {
	case 4:
		err = n.parseIPv4(data)
	case 6:
		n.v6 = true
		err = n.parseIPv6(data)
	default:
		err = errNotTransport
	}
	if err != nil {
		return err
	}
	switch n.proto {
	case protoTCP:
		if len(data) < n.start+ipheader.TCPLen {
			return errNotTransport
		}
		off := int(data[n.start+12]>>4) * 4
		if off < ipheader.TCPLen {
			return errNotTransport
		}
		n.payload = n.start + off
	case protoUDP:
		n.payload = n.start + ipheader.UDPLen
	default:
		return errNotTransport
	}
	if n.payload > len(data) {
		return errNotTransport
	}
	*l = n
	return nil
}

func (l *layout) parseIPv4(data []byte) error {
	if len(data) < ipheader.IPv4Len {
		return errNotTransport
	}
	l.start = int(data[0]&0x0f) * 4
	const moreFragmentsAndOffset = 0x3fff
	if l.start < ipheader.IPv4Len || binary.BigEndian.Uint16(data[6:])&moreFragmentsAndOffset != 0 {
		return errNotTransport
	}
	l.proto = data[9]
	return nil
}

// parseIPv6 walks the extension headers that may stand before TCP and UDP in an unfragmented packet
// (RFC 8200, Section 4.1).
func (l *layout) parseIPv6(data []byte) error {
	if len(data) < ipheader.IPv6Len {
		return errNotTransport
	}
	const hopByHop, routing, destination = 0, 43, 60
	next := data[6]
	for l.start = ipheader.IPv6Len; next == hopByHop || next == routing || next == destination; {
		if len(data) < l.start+8 {
			return errNotTransport
		}
		next = data[l.start]
		l.start += 8 + int(data[l.start+1])*8
	}
	l.proto = next
	return nil
}

func (l *layout) csumOffset() int {
	if l.proto == protoTCP {
		return ipheader.TCPChecksum
	}
	return ipheader.UDPChecksum
}

// addresses are the source and destination octets of the pseudo-header.
func (l *layout) addresses(data []byte) (src, dst []byte) {
	if l.v6 {
		return data[8:24], data[24:40]
	}
	return data[12:16], data[16:20]
}
