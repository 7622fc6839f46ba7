package dataplane

import (
	"culvert/internal/ipheader"
	"encoding/binary"
)

// A fragmenter cuts an IPv4 packet into fragments (RFC 791, Section 3.2). A packet that may be
// fragmented is cut before it is sealed, not after: a gateway that reassembles outer fragments does
// so before it can tell forged ones (RFC 4301, Section 7), and a NAT may drop them.
type fragmenter struct {
	pkt    []byte // the whole packet, header and data
	header int    // octets of its header
	done   int    // octets of data already in fragments
	mtu    int
}

// next appends the next fragment to b, and returns b unchanged after the last one.
func (f *fragmenter) next(b []byte) []byte {
	data := f.pkt[f.header+f.done:]
	if len(data) == 0 {
		return b
	}
	start := len(b)
	b = f.appendHeader(b)
	room := f.mtu - (len(b) - start)
	more := len(data) > room
	if more {
		data = data[:max(room&^7, 8)] // all but the last: whole units of 8 octets
	}
	field := binary.BigEndian.Uint16(f.pkt[6:])
	offset := field&ipheader.IPv4OffsetMask + uint16(f.done/8)
	if more || field&ipheader.IPv4MF != 0 { // the last fragment of a fragment is not the last of the datagram
		offset |= ipheader.IPv4MF
	}
	h := b[start:]
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(data)))
	binary.BigEndian.PutUint16(h[6:], offset)
	binary.BigEndian.PutUint16(h[10:], 0)
	binary.BigEndian.PutUint16(h[10:], ^ipheader.Sum(0, h))
	f.done += len(data)
	return append(b, data...)
}

// appendHeader appends the header with all options to the first fragment, and with the options to
// be copied to the others.
func (f *fragmenter) appendHeader(b []byte) []byte {
	if f.done == 0 {
		return append(b, f.pkt[:f.header]...)
	}
	start := len(b)
	b = append(b, f.pkt[:ipheader.IPv4Len]...)
	for options := f.pkt[ipheader.IPv4Len:f.header]; len(options) > 0; {
		length := 1
		switch {
		case options[0] == 0: // end of options
			options = nil
			continue
		case options[0] == 1: // no operation
		case len(options) < 2 || options[1] < 2 || int(options[1]) > len(options):
			options = nil
			continue
		default:
			length = int(options[1])
		}
		if options[0]&ipheader.IPv4OptionCopied != 0 {
			b = append(b, options[:length]...)
		}
		options = options[length:]
	}
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	b[start] = 4<<4 | byte((len(b)-start)/4)
	return b
}
