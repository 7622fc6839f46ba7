package wire

import "encoding/binary"

// parseConfiguration checks the length of every attribute for which RFC 7296, Section 3.15.1
// defines one, so that no receiver reads past a short value. It keeps unknown attributes.
func parseConfiguration(r *reader) *Configuration {
	c := &Configuration{CFGType: CFGType(r.u8("CFG Type"))}
	r.reserved(3)
	for r.more() {
		if len(c.Attributes) == maxConfigAttributes {
			r.fail("more than %d attributes", maxConfigAttributes)
			break
		}
		kind := ConfigAttributeType(r.u16("attribute type") &^ attributeReserved)
		value := r.take(int(r.u16("attribute length")), "attribute value")
		if !kind.validLength(len(value)) {
			r.fail("%v of %d octets", kind, len(value))
		}
		c.Attributes = append(c.Attributes, ConfigAttribute{Type: kind, Value: value})
	}
	return c
}

const (
	attributeReserved   = 0x8000 // the R bit: "MUST be ignored on receipt"
	maxConfigAttributes = 1024
)

// validLength reports whether a value of n octets is valid by the table of RFC 7296, Section
// 3.15.1. Everything except SUPPORTED_ATTRIBUTES and free text may also be empty, which requests a
// value or acknowledges one. INTERNAL_IP6_ADDRESS may lack its prefix length: some clients omit it.
func (t ConfigAttributeType) validLength(n int) bool {
	switch t {
	case InternalIP4Address, InternalIP4Netmask, InternalIP4DNS, InternalIP4NBNS, InternalIP4DHCP:
		return n == 0 || n == 4
	case InternalIP4Subnet:
		return n == 0 || n == 8
	case InternalIP6DNS, InternalIP6DHCP:
		return n == 0 || n == 16
	case InternalIP6Subnet:
		return n == 0 || n == 17
	case InternalIP6Address:
		return n == 0 || n == 16 || n == 17
	case SupportedAttributes:
		return n%2 == 0
	}
	return true
}

func (p *Configuration) appendBody(b []byte) []byte {
	b = append(b, byte(p.CFGType), 0, 0, 0)
	for _, a := range p.Attributes {
		if len(a.Value) > MaxPayloadLen {
			panic("wire: internal error: attribute too long")
		}
		b = binary.BigEndian.AppendUint16(b, uint16(a.Type)&^attributeReserved)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b
}

// EAP codes (RFC 3748, Section 4).
const (
	eapRequest  = 1
	eapResponse = 2
	eapSuccess  = 3
	eapFailure  = 4
)

// parseEAP checks the outer form of the packet: its length field, the type octet of a Request or
// Response, and that Success and Failure have no data (RFC 7296, Section 3.16).
func parseEAP(r *reader) *EAP {
	if len(r.b) < 4 {
		r.fail("an EAP packet of %d octets", len(r.b))
		return &EAP{}
	}
	code, length := r.b[0], int(binary.BigEndian.Uint16(r.b[2:]))
	switch {
	case length != len(r.b):
		r.fail("the EAP packet's length field is %d, the payload has %d octets", length, len(r.b))
	case (code == eapRequest || code == eapResponse) && length < 5:
		r.fail("an EAP Request or Response without a type")
	case (code == eapSuccess || code == eapFailure) && length != 4:
		r.fail("an EAP Success or Failure of %d octets", length)
	}
	return &EAP{Data: r.rest()}
}

func (p *EAP) appendBody(b []byte) []byte { return append(b, p.Data...) }
