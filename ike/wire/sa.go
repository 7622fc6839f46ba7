package wire

import "encoding/binary"

// Header lengths of the substructures of an SA payload (RFC 7296, Sections 3.3.1 and 3.3.2).
const (
	proposalHeaderLen  = 8
	transformHeaderLen = 8
)

// Limits of one SA payload. The proposal number is one octet and starts at 1, so more than 255
// proposals cannot be told apart.
const (
	maxProposals  = 255
	maxTransforms = 2048
)

// Values of the Last Substruc octet where another substructure follows (the payload types of
// IKEv1). It is zero in the last proposal or transform.
const (
	moreProposals  = 2
	moreTransforms = 3
)

const (
	attributeTV        = 0x8000 // the AF bit: type and value without a length
	attributeKeyLength = 14
	// attributePrivate replaces attributes that were not understood when their transform is
	// appended.
	attributePrivate = 0x4000
)

// parseSA parses the proposals. Faults that only exclude a proposal from negotiation (unknown or
// missing transform types, attributes that are not understood, numbers out of order) are not errors
// here: "other proposals in the same SA payload are processed as usual" (RFC 7296, Section 3.3.6).
// SPIs may have any size; the user of an SPI checks its length.
func parseSA(r *reader) *SA {
	sa := &SA{}
	transforms := 0
	if !r.more() {
		r.fail("no proposal")
	}
	for r.more() {
		if len(sa.Proposals) == maxProposals {
			r.fail("more than %d proposals", maxProposals)
			break
		}
		p := parseProposal(r)
		sa.Proposals = append(sa.Proposals, p)
		if transforms += len(p.Transforms); transforms > maxTransforms {
			r.fail("more than %d transforms", maxTransforms)
		}
	}
	return sa
}

// substructure returns a reader of the next substructure of r, behind its first four octets: the
// Last Substruc octet, which must agree with what follows, a reserved octet and the length, which
// includes these four.
func substructure(r *reader, what string, minLen int, more byte) reader {
	if len(r.b) < 4 {
		r.fail("%s header cut short at %d octets", what, len(r.b))
		return *r
	}
	last, length := r.b[0], int(binary.BigEndian.Uint16(r.b[2:]))
	if length < minLen {
		r.fail("%s length %d is less than %d", what, length, minLen)
	}
	s := r.sub(length, what)
	s.reserved(4)
	if want := lastOctet(len(r.b) == 0, more); last != want {
		s.fail("the Last Substruc octet of a %s is %d, want %d", what, last, want)
	}
	return s
}

func lastOctet(last bool, more byte) byte {
	if last {
		return 0
	}
	return more
}

func parseProposal(parent *reader) Proposal {
	r := substructure(parent, "proposal", proposalHeaderLen, moreProposals)
	p := Proposal{Number: r.u8("Proposal Num"), Protocol: ProtocolID(r.u8("Protocol ID"))}
	spiSize := int(r.u8("SPI Size"))
	count := int(r.u8("Num Transforms"))
	p.SPI = r.take(spiSize, "SPI")
	for r.more() {
		if len(p.Transforms) == count {
			r.fail("more transforms than the %d announced", count)
			break
		}
		p.Transforms = append(p.Transforms, parseTransform(&r))
	}
	if len(p.Transforms) != count {
		r.fail("%d transforms, but %d were announced", len(p.Transforms), count)
	}
	return p
}

func parseTransform(parent *reader) Transform {
	r := substructure(parent, "transform", transformHeaderLen, moreTransforms)
	t := Transform{Type: TransformType(r.u8("Transform Type"))}
	r.reserved(1)
	t.ID = TransformID(r.u16("Transform ID"))
	for r.more() {
		t.parseAttribute(&r)
	}
	return t
}

// parseAttribute parses one attribute. A Key Length is understood once, in its fixed format and not
// zero (RFC 7296, Section 3.3.5). Any other makes the transform unacceptable, not the message
// malformed.
func (t *Transform) parseAttribute(r *reader) {
	kind, value := r.u16("attribute type"), r.u16("attribute length or value")
	switch {
	case kind&attributeTV == 0:
		r.take(int(value), "attribute value")
		t.UnknownAttribute = true
	case kind == attributeTV|attributeKeyLength && t.KeyLength == 0 && value != 0:
		t.KeyLength = value
	default:
		t.UnknownAttribute = true
	}
}

func (p *SA) appendBody(b []byte) []byte {
	for i := range p.Proposals {
		b = p.Proposals[i].appendTo(b, i == len(p.Proposals)-1)
	}
	return b
}

func (p *Proposal) appendTo(b []byte, last bool) []byte {
	start := len(b)
	b = append(b, lastOctet(last, moreProposals), 0, 0, 0,
		p.Number, byte(p.Protocol), octetCount(len(p.SPI)), octetCount(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i, t := range p.Transforms {
		b = t.appendTo(b, i == len(p.Transforms)-1)
	}
	putLength(b[start:], 2)
	return b
}

// appendTo appends the transform. Attributes that were not understood are not kept; one of private
// use replaces them, so that the transform remains unacceptable.
func (t Transform) appendTo(b []byte, last bool) []byte {
	start := len(b)
	b = append(b, lastOctet(last, moreTransforms), 0, 0, 0, byte(t.Type), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(t.ID))
	if t.KeyLength != 0 {
		b = binary.BigEndian.AppendUint16(b, attributeTV|attributeKeyLength)
		b = binary.BigEndian.AppendUint16(b, t.KeyLength)
	}
	if t.UnknownAttribute {
		b = binary.BigEndian.AppendUint32(b, (attributeTV|attributePrivate)<<16)
	}
	putLength(b[start:], 2)
	return b
}
