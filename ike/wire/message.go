package wire

import (
	"bytes"
	"encoding/binary"
)

// Lengths in octets of the parts of a message.
const (
	// PayloadHeaderLen is the length of the generic payload header (RFC 7296, Section 3.2).
	PayloadHeaderLen = 4
	// FragmentHeaderLen is the length of Fragment Number and Total Fragments, before the Body of an
	// SKF payload (RFC 7383, Section 2.5).
	FragmentHeaderLen = 4
	// MaxPayloadLen is the largest value of a Payload Length field.
	MaxPayloadLen = 0xffff
)

// maxPayloads is the most payloads of one message, so that a datagram of tiny payloads costs little
// memory. Real messages have fewer than 50.
const maxPayloads = 256

// Parse parses a whole datagram, without the non-ESP marker. The result shares no memory with b,
// except the Body of a closing *Encrypted or *EncryptedFragment. For a major version other than 2
// the error's Notify is InvalidMajorVersion. The error is always an *Error.
func Parse(b []byte) (*Message, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if h.MajorVersion != MajorVersion {
		return nil, &Error{Notify: InvalidMajorVersion, Offset: 17, Text: "major version is not 2"}
	}
	ps, err := parseChain(h.NextPayload, b, HeaderLen)
	if err != nil {
		return nil, err
	}
	return &Message{Header: h, Payloads: ps}, nil
}

// ParsePayloads parses the decrypted content of an SK payload, or of all SKF payloads of a message
// together. first is the type of the first payload. An SK or SKF payload inside is an error (RFC
// 7296, Section 3.1). The result shares no memory with b. The error is always an *Error.
func ParsePayloads(first PayloadType, b []byte) ([]Payload, error) {
	ps, err := parseChain(first, b, 0)
	if err != nil {
		return nil, err
	}
	if n := len(ps); n > 0 && isProtected(ps[n-1].Type()) {
		return nil, &Error{Notify: InvalidSyntax, Payload: ps[n-1].Type(), Text: "must not be inside an encrypted payload"}
	}
	return ps, nil
}

// parseChain parses the chain of payloads at b[start:]. The chain ends at a Next Payload of zero,
// or at an SK or SKF payload, whose Next Payload is the type of its content. In both cases nothing
// may follow.
func parseChain(next PayloadType, b []byte, start int) ([]Payload, error) {
	var ps []Payload
	chain := newReader(b[start:], start, NoNextPayload)
	for next != NoNextPayload && !chain.failed() {
		if len(ps) == maxPayloads {
			chain.fail("more than %d payloads", maxPayloads)
			break
		}
		here, offset := next, chain.offset
		head := chain.take(PayloadHeaderLen, here.String()+" payload header")
		if head == nil {
			break
		}
		length := int(binary.BigEndian.Uint16(head[2:]))
		if length < PayloadHeaderLen {
			chain.fail("the length of the %v payload is %d, less than its header", here, length)
			break
		}
		body := chain.take(length-PayloadHeaderLen, here.String()+" payload")
		if chain.failed() {
			break
		}
		p, err := parsePayload(genericHeader{typ: here, next: PayloadType(head[0]), critical: head[1]&criticalBit != 0}, body, offset)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
		if isProtected(here) {
			break
		}
		next = PayloadType(head[0])
	}
	chain.end("last payload")
	return ps, chain.err()
}

func isProtected(t PayloadType) bool { return t == PayloadSK || t == PayloadSKF }

// EncryptedOffset returns the offset of the Body of the closing SK or SKF payload in the parsed
// datagram. Everything before it is additional authenticated data (RFC 5282, Section 5.1). It
// returns false for an unprotected message.
func (m *Message) EncryptedOffset() (int, bool) {
	if len(m.Payloads) == 0 {
		return 0, false
	}
	switch p := m.Payloads[len(m.Payloads)-1].(type) {
	case *Encrypted:
		return int(m.Length) - len(p.Body), true
	case *EncryptedFragment:
		return int(m.Length) - len(p.Body), true
	}
	return 0, false
}

// AppendTo appends the whole message with correct Next Payload and Length fields. It panics if a
// payload exceeds its length fields, which a parsed payload never does.
func (m *Message) AppendTo(b []byte) []byte {
	start := len(b)
	h := m.Header
	h.NextPayload = FirstType(m.Payloads)
	b = AppendPayloads(h.AppendTo(b), m.Payloads)
	binary.BigEndian.PutUint32(b[start+24:], uint32(len(b)-start))
	return b
}

// FirstType returns the type of the first payload, for the Next Payload field before it;
// NoNextPayload if there is none.
func FirstType(ps []Payload) PayloadType {
	if len(ps) == 0 {
		return NoNextPayload
	}
	return ps[0].Type()
}

// AppendPayloads appends a chain of payloads. It panics as Message.AppendTo does.
func AppendPayloads(b []byte, ps []Payload) []byte {
	for i, p := range ps {
		next, critical := FirstType(ps[i+1:]), false
		switch p := p.(type) {
		case *Encrypted:
			next = p.First
		case *EncryptedFragment:
			next = p.First
		case *Unknown:
			critical = p.Critical
		}
		start := len(b)
		b = AppendPayloadHeader(b, next, critical, 0)
		b = p.appendBody(b)
		putLength(b[start:], 2)
	}
	return b
}

// AppendPayloadHeader appends a generic payload header. length is the Payload Length field, which
// includes the header.
func AppendPayloadHeader(b []byte, next PayloadType, critical bool, length int) []byte {
	if length > MaxPayloadLen {
		panic("wire: internal error: payload too long")
	}
	var flags byte
	if critical {
		flags = criticalBit
	}
	b = append(b, byte(next), flags)
	return binary.BigEndian.AppendUint16(b, uint16(length))
}

// putLength writes the length of b into the 16-bit field at the offset. It panics if the length
// does not fit.
func putLength(b []byte, at int) {
	if len(b) > MaxPayloadLen {
		panic("wire: internal error: payload too long")
	}
	binary.BigEndian.PutUint16(b[at:], uint16(len(b)))
}

// UnsupportedCritical returns the first payload of an unknown type with the critical bit set. A
// request with such a payload is answered with UNSUPPORTED_CRITICAL_PAYLOAD (RFC 7296, Section
// 2.5). The bit is ignored on known payload types.
func UnsupportedCritical(ps []Payload) (PayloadType, bool) {
	for _, p := range ps {
		if u, ok := p.(*Unknown); ok && u.Critical {
			return u.PayloadType, true
		}
	}
	return NoNextPayload, false
}

// clone returns a copy of b, so that a payload does not keep its datagram alive or change with it.
// An empty b becomes nil.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
