// Package wire parses and appends IKEv2 messages (RFC 7296, Section 3). It keeps no state, does not
// act on what it parses, and never panics on any input.
package wire

import "net/netip"

// SPI is an IKE SA's 8-octet Security Parameter Index (RFC 7296, Section 3.1).
type SPI uint64

// Header is the fixed IKE header (RFC 7296, Section 3.1). Parse fills in Length, AppendTo ignores
// it.
type Header struct {
	InitiatorSPI SPI
	ResponderSPI SPI
	NextPayload  PayloadType // filled in by Parse; Message.AppendTo derives it from the payloads
	MajorVersion uint8
	MinorVersion uint8
	Exchange     ExchangeType
	Initiator    bool // the sender is the original initiator of the IKE SA
	Response     bool
	HigherVer    bool // the "version" flag
	MessageID    uint32
	Length       uint32
}

// HeaderLen is the length of the IKE header in octets.
const HeaderLen = 28

// Payload is one IKE payload: a pointer to one of the payload types of this package.
type Payload interface {
	// Type returns the payload's type, as in the preceding Next Payload field.
	Type() PayloadType
	// appendBody appends everything after the generic payload header.
	appendBody(b []byte) []byte
}

// Message is a header and its payloads, in order. A message protected by SK{} or SKF{} ends with an
// *Encrypted or *EncryptedFragment, whose inner payloads ParsePayloads parses.
type Message struct {
	Header
	Payloads []Payload
}

// The payloads of RFC 7296, Section 3, each a plain struct.
type (
	// SA is the Security Association payload (Section 3.3).
	SA struct{ Proposals []Proposal }
	// KE is the Key Exchange payload (Section 3.4).
	KE struct {
		Group TransformID
		Data  []byte
	}
	// ID is an Identification payload (Section 3.5); Responder tells IDr from IDi.
	ID struct {
		Responder bool
		IDType    IDType
		Reserved  [3]byte // zero in our own; kept as received, because AUTH covers it (Section 2.15)
		Data      []byte
	}
	// Cert is the Certificate payload (Section 3.6).
	Cert struct {
		Encoding CertEncoding
		Data     []byte
	}
	// CertReq is the Certificate Request payload (Section 3.7).
	CertReq struct {
		Encoding CertEncoding
		Data     []byte
	}
	// Auth is the Authentication payload (Section 3.8).
	Auth struct {
		Method AuthMethod
		Data   []byte
	}
	// Nonce is the Nonce payload (Section 3.9), 16 to 256 octets.
	Nonce struct{ Data []byte }
	// Notify is the Notify payload (Section 3.10).
	Notify struct {
		Protocol ProtocolID
		SPI      []byte
		Kind     NotifyType
		Data     []byte
	}
	// Delete is the Delete payload (Section 3.11). Each SPI has SPISize octets; for IKE both are
	// empty.
	Delete struct {
		Protocol ProtocolID
		SPISize  uint8
		SPIs     [][]byte
	}
	// VendorID is the Vendor ID payload (Section 3.12).
	VendorID struct{ Data []byte }
	// TS is a Traffic Selector payload (Section 3.13); Responder tells TSr from TSi.
	TS struct {
		Responder bool
		Selectors []TrafficSelector
	}
	// Configuration is the Configuration payload (Section 3.15).
	Configuration struct {
		CFGType    CFGType
		Attributes []ConfigAttribute
	}
	// EAP is the Extensible Authentication payload (Section 3.16): a whole EAP packet (RFC 3748)
	// with a correct length field.
	EAP struct{ Data []byte }
	// Encrypted is the SK payload (Section 3.14). First is the type of the first inner payload.
	Encrypted struct {
		First PayloadType
		Body  []byte // IV, ciphertext, padding, ICV; aliases the datagram
	}
	// EncryptedFragment is the SKF payload (RFC 7383, Section 2.5). First is zero except in
	// fragment 1.
	EncryptedFragment struct {
		First         PayloadType
		Number, Total uint16
		Body          []byte
	}
	// Unknown is a payload of an unknown type, kept as received (Section 2.5).
	Unknown struct {
		PayloadType PayloadType
		Critical    bool
		Body        []byte
	}
)

// Proposal is one proposal substructure (RFC 7296, Section 3.3.1).
type Proposal struct {
	Number     uint8
	Protocol   ProtocolID
	SPI        []byte
	Transforms []Transform
}

// Transform is one transform substructure (RFC 7296, Section 3.3.2). It is comparable.
type Transform struct {
	Type      TransformType
	ID        TransformID
	KeyLength uint16 // in bits; zero if the attribute is absent
	// UnknownAttribute reports whether an attribute other than Key Length was present: such a
	// transform must not be chosen (Section 3.3.6).
	UnknownAttribute bool
}

// TrafficSelector is one traffic selector (RFC 7296, Section 3.13.1) with the range as received:
// the caller checks Start <= End.
type TrafficSelector struct {
	Protocol           uint8 // 0: any
	StartPort, EndPort uint16
	Start, End         netip.Addr // both v4 or both v6
}

// ConfigAttribute is one configuration attribute (RFC 7296, Section 3.15.1).
type ConfigAttribute struct {
	Type  ConfigAttributeType
	Value []byte
}

type (
	// PayloadType is an IKEv2 payload type (IANA "IKEv2 Payload Types").
	PayloadType uint8
	// ExchangeType is an IKEv2 exchange type.
	ExchangeType uint8
	// ProtocolID is a security protocol identifier (RFC 7296, Section 3.3.1).
	ProtocolID uint8
	// TransformType is an IKEv2 transform type.
	TransformType uint8
	// TransformID is a transform identifier; its meaning depends on the TransformType.
	TransformID uint16
	// NotifyType is a notify message type.
	NotifyType uint16
	// IDType is an identification type.
	IDType uint8
	// AuthMethod is an authentication method.
	AuthMethod uint8
	// CertEncoding is a certificate encoding.
	CertEncoding uint8
	// CFGType is a configuration payload's type.
	CFGType uint8
	// ConfigAttributeType is a configuration attribute's type.
	ConfigAttributeType uint16
)
