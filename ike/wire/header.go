package wire

import "encoding/binary"

// The flags of the IKE header (RFC 7296, Section 3.1).
const (
	flagInitiator = 1 << 3
	flagVersion   = 1 << 4
	flagResponse  = 1 << 5
)

// MajorVersion is the version of IKE that this package parses.
const MajorVersion = 2

// ParseHeader parses the IKE header of a whole datagram. A major version other than 2 is not an
// error here, so that it can be answered with INVALID_MAJOR_VERSION; all versions so far share the
// header's layout. On error the header is zero.
func ParseHeader(b []byte) (Header, error) {
	r := newReader(b, 0, NoNextPayload)
	if len(b) < HeaderLen {
		r.fail("the datagram has %d octets, the header needs %d", len(b), HeaderLen)
		return Header{}, r.err()
	}
	h := Header{
		InitiatorSPI: SPI(binary.BigEndian.Uint64(b)),
		ResponderSPI: SPI(binary.BigEndian.Uint64(b[8:])),
		NextPayload:  PayloadType(b[16]),
		MajorVersion: b[17] >> 4,
		MinorVersion: b[17] & 0xf,
		Exchange:     ExchangeType(b[18]),
		Initiator:    b[19]&flagInitiator != 0,
		Response:     b[19]&flagResponse != 0,
		HigherVer:    b[19]&flagVersion != 0,
		MessageID:    binary.BigEndian.Uint32(b[20:]),
		Length:       binary.BigEndian.Uint32(b[24:]),
	}
	switch {
	case uint64(h.Length) != uint64(len(b)):
		r.fail("the length field is %d, the datagram has %d octets", h.Length, len(b))
	case h.InitiatorSPI == 0 && !h.mayLackSPI():
		// "This value MUST NOT be zero." (RFC 7296, Section 3.1)
		r.fail("the initiator's SPI is zero")
	}
	if r.failed() {
		return Header{}, r.err()
	}
	return h, nil
}

// mayLackSPI reports whether the message may be an unprotected INVALID_SPI, which belongs to no IKE
// SA (RFC 7296, Section 1.5).
func (h *Header) mayLackSPI() bool {
	return h.Exchange == Informational && h.Initiator && !h.Response && h.ResponderSPI == 0 && h.NextPayload == PayloadNotify
}

// AppendTo appends the header with its NextPayload and Length unchanged; Message.AppendTo fills
// these in. A zero MajorVersion is sent as 2.
func (h Header) AppendTo(b []byte) []byte {
	major := h.MajorVersion
	if major == 0 {
		major = MajorVersion
	}
	var flags byte
	if h.Initiator {
		flags |= flagInitiator
	}
	if h.HigherVer {
		flags |= flagVersion
	}
	if h.Response {
		flags |= flagResponse
	}
	b = binary.BigEndian.AppendUint64(b, uint64(h.InitiatorSPI))
	b = binary.BigEndian.AppendUint64(b, uint64(h.ResponderSPI))
	b = append(b, byte(h.NextPayload), major<<4|h.MinorVersion&0xf, byte(h.Exchange), flags)
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}
