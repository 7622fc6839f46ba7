package esp

import "encoding/binary"

// paddings are the ends of packets before the next header: padding and pad length, first octet
// lowest. RFC 4303, Section 2.4: "The first padding byte appended to the plaintext is numbered 1,
// with subsequent padding bytes making up a monotonically increasing sequence".
var paddings = [wordLen]uint64{0x00, 0x01_01, 0x02_02_01, 0x03_03_02_01}

// putTrailer writes a trailer of n octets, padding, pad length and next header, to the start of the
// Tailroom octets at b, and zeros to the rest.
func putTrailer(b []byte, n int, next uint8) {
	pad := uint(n-trailerLen) % wordLen
	binary.LittleEndian.PutUint64(b, paddings[pad]|uint64(next)<<(8*pad+8))
}

// putPadding fills b with a trailer of any length.
func putPadding(b []byte, next uint8) {
	n := len(b) - trailerLen
	for i := range n {
		b[i] = byte(i + 1)
	}
	b[n], b[n+1] = byte(n), next
}

// cutTrailer removes padding, pad length and next header. RFC 4303, Section 2.4: "the receiver
// SHOULD inspect the Padding field." As the trailer ends "right aligned within a 4-byte word", the
// load of that word does not span two of the cipher's stores, for which it would have to wait.
func (p *Packet) cutTrailer(text []byte) {
	if len(text) < wordLen {
		p.cutPadding(text)
		return
	}
	last := binary.LittleEndian.Uint32(text[len(text)-wordLen:])
	n := int(last >> 16 & 0xff)
	if n >= len(shortPadding) || last&shortPadding[n].mask != shortPadding[n].octets {
		p.cutPadding(text)
		return
	}
	p.Data, p.Next = text[:len(text)-trailerLen-n], uint8(last>>24)
	if p.Next == NextDummy {
		p.Err = ErrDummy
	}
}

// shortPadding has padding of 0, 1 and 2 octets, as it is in the last word of the text.
var shortPadding = [...]struct{ mask, octets uint32 }{{}, {0xff00, 0x0100}, {0xffff, 0x0201}}

// cutPadding is cutTrailer for a text of any length, with padding of any length.
func (p *Packet) cutPadding(text []byte) {
	end := len(text) - trailerLen
	start := end - int(text[end])
	if start < 0 {
		p.refuse(ErrPadding)
		return
	}
	for i := start; i < end; i++ {
		if text[i] != byte(i-start+1) {
			p.refuse(ErrPadding)
			return
		}
	}
	p.Data, p.Next = text[:start], text[end+1]
	if p.Next == NextDummy {
		p.Err = ErrDummy
	}
}
