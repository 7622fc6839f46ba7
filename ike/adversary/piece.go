package adversary

import (
	"encoding/binary"
	"slices"

	"culvert/ike/wire"
)

// A Piece is one payload as octets, each of which may be wrong.
type Piece struct {
	Type  wire.PayloadType
	Flags byte // the critical bit, and seven that are reserved
	Body  []byte
	Lie   int // added to what the Payload Length field should be
}

// Critical is the critical bit of Piece.Flags (RFC 7296, Section 3.2).
const Critical = 0x80

// PiecesOf returns payloads as octets.
func PiecesOf(ps ...wire.Payload) (list []Piece) {
	for _, p := range ps {
		b := wire.AppendPayloads(nil, []wire.Payload{p})
		list = append(list, Piece{Type: p.Type(), Flags: b[1], Body: b[wire.PayloadHeaderLen:]})
	}
	return list
}

// clone returns pieces that may be changed.
func clone(ps []Piece) []Piece {
	ps = slices.Clone(ps)
	for i := range ps {
		ps[i].Body = slices.Clone(ps[i].Body)
	}
	return ps
}

// encode returns a chain of payloads, and the type of the first.
func encode(ps []Piece) (first wire.PayloadType, b []byte) {
	for i, p := range ps {
		next := wire.NoNextPayload
		if i+1 < len(ps) {
			next = ps[i+1].Type
		}
		if i == 0 {
			first = p.Type
		}
		b = append(b, byte(next), p.Flags)
		b = binary.BigEndian.AppendUint16(b, uint16(wire.PayloadHeaderLen+len(p.Body)+p.Lie))
		b = append(b, p.Body...)
	}
	return first, b
}

// appendHeader appends an IKE header with the flags and the version as they are, whatever they are.
func appendHeader(b []byte, h wire.Header, next wire.PayloadType, length int) []byte {
	h.NextPayload = next
	start := len(b)
	b = h.AppendTo(b)
	binary.BigEndian.PutUint32(b[start+24:], uint32(length))
	return b
}

// plainMessage returns a message without SK{}.
func plainMessage(h wire.Header, ps []Piece) []byte {
	first, body := encode(ps)
	return append(appendHeader(nil, h, first, wire.HeaderLen+len(body)), body...)
}
