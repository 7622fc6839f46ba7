package wire

import (
	"bytes"
	"encoding/binary"
)

// Lengths that a message is made of, in octets.
const (
	// PayloadHeaderLen is the generic payload header (RFC 7296, Section 3.2).
	PayloadHeaderLen = 4
	// FragmentHeaderLen is the SKF payload's Fragment Number and Total Fragments, before its Body (RFC 7383, Section 2.5).
	FragmentHeaderLen = 4
	// MaxPayloadLen is the most that a Payload Length field can say.
	MaxPayloadLen = 0xffff
)

// maxPayloads bounds the payloads of one message, so that a datagram of tiny payloads costs little memory. Real messages
// stay below 50.
const maxPayloads = 256

// Parse parses a whole datagram (without the non-ESP marker). The result shares no memory with b, save the Body of a
// closing *Encrypted or *EncryptedFragment. A major version other than 2 is an error whose Notify is InvalidMajorVersion.
// The error is always an *Error.
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

// ParsePayloads parses the decrypted content of an SK payload (or of all SKF payloads of a message together), first being
// the type of its first payload. An SK or SKF payload inside is an error (RFC 7296, Section 3.1). The result shares no memory with b.
// The error is always an *Error.
func ParsePayloads(first PayloadType, b []byte) ([]Payload, error) {
	ps, err := parseChain(first, b, 0)
	if err != nil {
		return nil, err
	}
	if n := len(ps); n > 0 && isProtected(ps[n-1].Type()) {
		return nil, &Error{Notify: InvalidSyntax, Payload: ps[n-1].Type(), Text: "stands inside an encrypted payload"}
	}
	return ps, nil
}

// parseChain follows the chain of payloads that begins at b[start:]. It ends at a Next Payload of zero, or at an SK or SKF
// payload, whose Next Payload field names its content instead; in both cases nothing may follow.
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
			chain.fail("the %v payload's length is %d", here, length)
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

// EncryptedOffset is where the Body of the closing SK or SKF payload begins in the datagram that m was parsed from; everything
// before it is additional authenticated data (RFC 5282, Section 5.1). It is false for a message without protection.
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

// AppendTo appends the whole message with the right Next Payload fields and Length.
// It panics where a payload exceeds what its length fields can say, which nothing that was parsed does.
func (m *Message) AppendTo(b []byte) []byte {
	start := len(b)
	h := m.Header
	h.NextPayload = FirstType(m.Payloads)
	b = AppendPayloads(h.AppendTo(b), m.Payloads)
	binary.BigEndian.PutUint32(b[start+24:], uint32(len(b)-start))
	return b
}

// FirstType is the type of the first payload, for the Next Payload field of what stands before it; NoNextPayload if there is none.
func FirstType(ps []Payload) PayloadType {
	if len(ps) == 0 {
		return NoNextPayload
	}
	return ps[0].Type()
}

// AppendPayloads appends the payloads, chained. It panics as Message.AppendTo does.
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

// AppendPayloadHeader appends a generic payload header. Length counts it too: it is the Payload Length field.
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

// putLength writes the length of all of b into its 16-bit field at the offset.
func putLength(b []byte, at int) {
	if len(b) > MaxPayloadLen {
		panic("wire: internal error: payload too long")
	}
	binary.BigEndian.PutUint16(b[at:], uint16(len(b)))
}

// UnsupportedCritical returns the first payload of an unknown type that has the critical bit set: a request that holds one is
// answered with UNSUPPORTED_CRITICAL_PAYLOAD (RFC 7296, Section 2.5). On known payload types the bit is ignored.
func UnsupportedCritical(ps []Payload) (PayloadType, bool) {
	for _, p := range ps {
		if u, ok := p.(*Unknown); ok && u.Critical {
			return u.PayloadType, true
		}
	}
	return NoNextPayload, false
}

// clone copies b, so that a payload does not keep, or change with, the datagram that it came in. Empty is nil.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
