package wire

import "encoding/binary"

// Substructure lengths of an SA payload (RFC 7296, Sections 3.3.1, 3.3.2 and 3.3.5).
const (
	proposalHeaderLen  = 8
	transformHeaderLen = 8
)

// Bounds of one SA payload. Proposal numbers count from 1 in one octet, so more than 255 proposals cannot be told apart.
const (
	maxProposals  = 255
	maxTransforms = 2048
)

// The Last Substruc octet: zero in the last proposal or transform, otherwise these (the payload types of IKEv1).
const (
	moreProposals  = 2
	moreTransforms = 3
)

const (
	attributeTV        = 0x8000 // the AF bit: type and value, without a length
	attributeKeyLength = 14
	// attributePrivate stands for attributes that were not understood when their transform is appended again.
	attributePrivate = 0x4000
)

// parseSA parses the proposals. What the RFC has the negotiation refuse (unknown or missing transform types, attributes that
// are not understood, numbers out of order) is no fault here: "other proposals in the same SA payload are processed as usual"
// (RFC 7296, Section 3.3.6). SPIs are of any size: whoever reads one checks its length.
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

// substructure takes the next substructure of r: its Last Substruc octet, which must agree with what follows, a reserved octet
// and its length, which counts these four octets too.
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
		s.fail("the Last Substruc octet of a %s is %d where %d belongs", what, last, want)
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
		r.fail("%d transforms where %d were announced", len(p.Transforms), count)
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

// parseAttribute reads one attribute. A Key Length is understood only once, in its fixed format and not zero
// (RFC 7296, Section 3.3.5): every other one makes the transform unacceptable, not the message malformed.
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

// appendTo appends the transform. The content of attributes that were not understood is not kept: one of private use stands
// for them, so that the transform stays one that nobody may choose.
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
