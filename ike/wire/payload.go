package wire

import "encoding/binary"

const criticalBit = 0x80

// The least and the greatest length of a nonce, in octets (RFC 7296, Section 3.9).
const (
	MinNonceLen = 16
	MaxNonceLen = 256
)

// genericHeader is the content of a generic payload header (RFC 7296, Section 3.2).
type genericHeader struct {
	typ, next PayloadType
	critical  bool
}

// parsePayload parses the body of one payload. offset is that of its generic header.
func parsePayload(h genericHeader, body []byte, offset int) (Payload, error) {
	if !isProtected(h.typ) {
		body = clone(body)
	}
	r := newReader(body, offset+PayloadHeaderLen, h.typ)
	p := parseBody(h, &r)
	r.end("payload")
	if r.failed() {
		return nil, r.err()
	}
	return p, nil
}

func parseBody(h genericHeader, r *reader) Payload {
	switch h.typ {
	case PayloadSA:
		return parseSA(r)
	case PayloadKE:
		return parseKE(r)
	case PayloadIDi, PayloadIDr:
		return parseID(r, h.typ == PayloadIDr)
	case PayloadCert:
		return &Cert{Encoding: CertEncoding(r.u8("Cert Encoding")), Data: r.rest()}
	case PayloadCertReq:
		return &CertReq{Encoding: CertEncoding(r.u8("Cert Encoding")), Data: r.rest()}
	case PayloadAuth:
		return parseAuth(r)
	case PayloadNonce:
		return parseNonce(r)
	case PayloadNotify:
		return parseNotify(r)
	case PayloadDelete:
		return parseDelete(r)
	case PayloadVendor:
		return &VendorID{Data: r.rest()}
	case PayloadTSi, PayloadTSr:
		return parseTS(r, h.typ == PayloadTSr)
	case PayloadCP:
		return parseConfiguration(r)
	case PayloadEAP:
		return parseEAP(r)
	case PayloadSK:
		return &Encrypted{First: h.next, Body: r.rest()}
	case PayloadSKF:
		return parseFragment(h, r)
	}
	return &Unknown{PayloadType: h.typ, Critical: h.critical, Body: r.rest()}
}

func parseKE(r *reader) *KE {
	group := TransformID(r.u16("group"))
	r.reserved(2)
	return &KE{Group: group, Data: r.rest()}
}

// parseID checks the length of addresses, so that code that prints or compares the identity need
// not.
func parseID(r *reader, responder bool) *ID {
	id := &ID{Responder: responder, IDType: IDType(r.u8("ID Type"))}
	copy(id.Reserved[:], r.take(3, "reserved field"))
	id.Data = r.rest()
	if id.IDType == IDIPv4Addr && len(id.Data) != 4 || id.IDType == IDIPv6Addr && len(id.Data) != 16 {
		r.fail("%v of %d octets", id.IDType, len(id.Data))
	}
	return id
}

func parseAuth(r *reader) *Auth {
	method := AuthMethod(r.u8("Auth Method"))
	r.reserved(3)
	return &Auth{Method: method, Data: r.rest()}
}

func parseNonce(r *reader) *Nonce {
	n := &Nonce{Data: r.rest()}
	if len(n.Data) < MinNonceLen || len(n.Data) > MaxNonceLen {
		r.fail("a nonce of %d octets, want %d to %d", len(n.Data), MinNonceLen, MaxNonceLen)
	}
	return n
}

func parseNotify(r *reader) *Notify {
	n := &Notify{Protocol: ProtocolID(r.u8("Protocol ID"))}
	spiSize := int(r.u8("SPI Size"))
	n.Kind = NotifyType(r.u16("Notify Message Type"))
	n.SPI = r.take(spiSize, "SPI")
	n.Data = r.rest()
	return n
}

// parseDelete requires the SPI size that the RFC defines for each protocol, so that no receiver
// reads past a short SPI (RFC 7296, Section 3.11).
func parseDelete(r *reader) *Delete {
	d := &Delete{Protocol: ProtocolID(r.u8("Protocol ID")), SPISize: r.u8("SPI Size")}
	count := int(r.u16("Num of SPIs"))
	size := int(d.SPISize)
	switch {
	case d.Protocol == ProtoIKE && size != 0, (d.Protocol == ProtoESP || d.Protocol == ProtoAH) && size != 4:
		r.fail("SPI size %d for protocol %v", size, d.Protocol)
	case count*size != len(r.b) || size == 0 && count != 0:
		r.fail("%d SPIs of %d octets, but %d octets are left", count, size, len(r.b))
	}
	for r.more() {
		d.SPIs = append(d.SPIs, r.take(size, "SPI"))
	}
	return d
}

// parseFragment checks the fragment numbers, so that reassembly need not (RFC 7383, Section 2.5).
func parseFragment(h genericHeader, r *reader) *EncryptedFragment {
	f := &EncryptedFragment{First: h.next, Number: r.u16("Fragment Number"), Total: r.u16("Total Fragments")}
	switch {
	case f.Number == 0 || f.Number > f.Total:
		r.fail("fragment %d of %d", f.Number, f.Total)
	case f.Number > 1 && f.First != NoNextPayload:
		r.fail("fragment %d has a Next Payload", f.Number)
	}
	f.Body = r.rest()
	return f
}

// Type implements Payload.
func (p *SA) Type() PayloadType { return PayloadSA }

// Type implements Payload.
func (p *KE) Type() PayloadType { return PayloadKE }

// Type implements Payload.
func (p *ID) Type() PayloadType {
	if p.Responder {
		return PayloadIDr
	}
	return PayloadIDi
}

// Type implements Payload.
func (p *Cert) Type() PayloadType { return PayloadCert }

// Type implements Payload.
func (p *CertReq) Type() PayloadType { return PayloadCertReq }

// Type implements Payload.
func (p *Auth) Type() PayloadType { return PayloadAuth }

// Type implements Payload.
func (p *Nonce) Type() PayloadType { return PayloadNonce }

// Type implements Payload.
func (p *Notify) Type() PayloadType { return PayloadNotify }

// Type implements Payload.
func (p *Delete) Type() PayloadType { return PayloadDelete }

// Type implements Payload.
func (p *VendorID) Type() PayloadType { return PayloadVendor }

// Type implements Payload.
func (p *TS) Type() PayloadType {
	if p.Responder {
		return PayloadTSr
	}
	return PayloadTSi
}

// Type implements Payload.
func (p *Configuration) Type() PayloadType { return PayloadCP }

// Type implements Payload.
func (p *EAP) Type() PayloadType { return PayloadEAP }

// Type implements Payload.
func (p *Encrypted) Type() PayloadType { return PayloadSK }

// Type implements Payload.
func (p *EncryptedFragment) Type() PayloadType { return PayloadSKF }

// Type implements Payload.
func (p *Unknown) Type() PayloadType { return p.PayloadType }

func (p *KE) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(p.Group))
	b = append(b, 0, 0)
	return append(b, p.Data...)
}

func (p *ID) appendBody(b []byte) []byte {
	b = append(append(b, byte(p.IDType)), p.Reserved[:]...)
	return append(b, p.Data...)
}

func (p *Cert) appendBody(b []byte) []byte { return append(append(b, byte(p.Encoding)), p.Data...) }

func (p *CertReq) appendBody(b []byte) []byte { return append(append(b, byte(p.Encoding)), p.Data...) }

func (p *Auth) appendBody(b []byte) []byte {
	return append(append(b, byte(p.Method), 0, 0, 0), p.Data...)
}

func (p *Nonce) appendBody(b []byte) []byte { return append(b, p.Data...) }

func (p *Notify) appendBody(b []byte) []byte {
	b = append(b, byte(p.Protocol), octetCount(len(p.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(p.Kind))
	b = append(b, p.SPI...)
	return append(b, p.Data...)
}

func (p *Delete) appendBody(b []byte) []byte {
	b = append(b, byte(p.Protocol), p.SPISize)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		b = append(b, spi...)
	}
	return b
}

func (p *VendorID) appendBody(b []byte) []byte { return append(b, p.Data...) }

func (p *Encrypted) appendBody(b []byte) []byte { return append(b, p.Body...) }

func (p *EncryptedFragment) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.Number)
	b = binary.BigEndian.AppendUint16(b, p.Total)
	return append(b, p.Body...)
}

func (p *Unknown) appendBody(b []byte) []byte { return append(b, p.Body...) }

// octetCount returns n as the value of a field of one octet. It panics if n does not fit, which is
// a bug of the caller.
func octetCount(n int) byte {
	if n > 0xff {
		panic("wire: internal error: too many for a field of one octet")
	}
	return byte(n)
}
