package ipheader

import "encoding/binary"

// A Fragmenter cuts an IPv4 packet into fragments (RFC 791, Section 3.2).
type Fragmenter struct {
	pkt    []byte // the whole packet, header and data
	header int    // octets of its header
	done   int    // octets of data already in fragments
	mtu    int
}

// NewFragmenter returns a Fragmenter of pkt, whose header is header octets long. The fragments are
// at most mtu octets long, or have 8 octets of data. pkt must not change until the last one.
func NewFragmenter(pkt []byte, header, mtu int) Fragmenter {
	return Fragmenter{pkt: pkt, header: header, mtu: mtu}
}

// Next appends the next fragment to b, and returns b unchanged after the last one.
func (f *Fragmenter) Next(b []byte) []byte {
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
	field := binary.BigEndian.Uint16(f.pkt[IPv4Fragment:])
	offset := field&IPv4OffsetMask + uint16(f.done/8)
	if more || field&IPv4MF != 0 { // the last fragment of a fragment is not the last of the datagram
		offset |= IPv4MF
	}
	h := b[start:]
	binary.BigEndian.PutUint16(h[IPv4TotalLength:], uint16(len(h)+len(data)))
	binary.BigEndian.PutUint16(h[IPv4Fragment:], offset)
	binary.BigEndian.PutUint16(h[IPv4Checksum:], 0)
	binary.BigEndian.PutUint16(h[IPv4Checksum:], ^Sum(0, h))
	f.done += len(data)
	return append(b, data...)
}

// appendHeader appends the header with all options to the first fragment, and with the options to
// be copied to the others.
func (f *Fragmenter) appendHeader(b []byte) []byte {
	if f.done == 0 {
		return append(b, f.pkt[:f.header]...)
	}
	start := len(b)
	b = append(b, f.pkt[:IPv4Len]...)
	for options := f.pkt[IPv4Len:f.header]; len(options) > 0; {
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
		if options[0]&IPv4OptionCopied != 0 {
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
