// Package wire parses and appends IKEv2 messages (RFC 7296, Section 3) and does nothing else: it keeps no
// state, acts on nothing that it reads, and never panics, whatever the bytes.
package wire

import "net/netip"

// SPI is an IKE SA's 8-octet Security Parameter Index (RFC 7296, Section 3.1).
type SPI uint64

// Header is the fixed IKE header (RFC 7296, Section 3.1). Length is filled in by Parse and ignored by AppendTo.
type Header struct {
	InitiatorSPI SPI
	ResponderSPI SPI
	NextPayload  PayloadType // filled in by Parse; AppendTo derives it from the payloads
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
	// Type is the payload's type as it appears in the preceding Next Payload field.
	Type() PayloadType
	// appendBody appends everything after the generic payload header.
	appendBody(b []byte) []byte
}

// Message is a header and its payloads, in order. A message protected by SK{} or SKF{} ends with an
// *Encrypted or *EncryptedFragment, whose inner payloads are parsed apart with ParsePayloads.
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
	// Delete is the Delete payload (Section 3.11). SPIs are SPISize octets each; for IKE both are empty.
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
	// EAP is the Extensible Authentication payload (Section 3.16): a whole EAP packet (RFC 3748), its length field checked.
	EAP struct{ Data []byte }
	// Encrypted is the SK payload (Section 3.14). First is the type of the first inner payload.
	Encrypted struct {
		First PayloadType
		Body  []byte // IV, ciphertext, padding, ICV; aliases the datagram
	}
	// EncryptedFragment is the SKF payload (RFC 7383, Section 2.5). First is zero except in fragment 1.
	EncryptedFragment struct {
		First         PayloadType
		Number, Total uint16
		Body          []byte
	}
	// Unknown is a payload of a type that this package does not know, kept as it came (Section 2.5).
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
	KeyLength uint16 // in bits; zero where the attribute is absent
	// UnknownAttribute says that an attribute other than Key Length was present: such a transform must not be chosen (Section 3.3.6).
	UnknownAttribute bool
}

// TrafficSelector is one traffic selector (RFC 7296, Section 3.13.1) with the range as it came: the caller checks Start <= End.
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

// Exchange types.
const (
	IKESAInit        ExchangeType = 34
	IKEAuth          ExchangeType = 35
	CreateChildSA    ExchangeType = 36
	Informational    ExchangeType = 37
	IKEIntermediate  ExchangeType = 43
	IKEFollowupKE    ExchangeType = 44
	IKESessionResume ExchangeType = 38
)

// Payload types.
const (
	NoNextPayload  PayloadType = 0
	PayloadSA      PayloadType = 33
	PayloadKE      PayloadType = 34
	PayloadIDi     PayloadType = 35
	PayloadIDr     PayloadType = 36
	PayloadCert    PayloadType = 37
	PayloadCertReq PayloadType = 38
	PayloadAuth    PayloadType = 39
	PayloadNonce   PayloadType = 40
	PayloadNotify  PayloadType = 41
	PayloadDelete  PayloadType = 42
	PayloadVendor  PayloadType = 43
	PayloadTSi     PayloadType = 44
	PayloadTSr     PayloadType = 45
	PayloadSK      PayloadType = 46
	PayloadCP      PayloadType = 47
	PayloadEAP     PayloadType = 48
	PayloadSKF     PayloadType = 53
)

// Security protocols.
const (
	ProtoNone ProtocolID = 0
	ProtoIKE  ProtocolID = 1
	ProtoAH   ProtocolID = 2
	ProtoESP  ProtocolID = 3
)

// Transform types.
const (
	TransformENCR  TransformType = 1
	TransformPRF   TransformType = 2
	TransformINTEG TransformType = 3
	TransformKE    TransformType = 4
	TransformESN   TransformType = 5
)

// Encryption algorithms (transform type 1).
const (
	EncrAESCBC           TransformID = 12
	EncrAESCTR           TransformID = 13
	EncrNULL             TransformID = 11
	EncrAESGCM8          TransformID = 18
	EncrAESGCM12         TransformID = 19
	EncrAESGCM16         TransformID = 20
	EncrNULLAuthAESGMAC  TransformID = 21
	EncrChaCha20Poly1305 TransformID = 28
)

// Pseudorandom functions (transform type 2).
const (
	PRFHMACSHA1    TransformID = 2
	PRFHMACSHA2256 TransformID = 5
	PRFHMACSHA2384 TransformID = 6
	PRFHMACSHA2512 TransformID = 7
)

// Integrity algorithms (transform type 3).
const (
	IntegNone        TransformID = 0
	IntegHMACSHA196  TransformID = 2
	IntegHMACSHA2256 TransformID = 12 // AUTH_HMAC_SHA2_256_128
	IntegHMACSHA2384 TransformID = 13 // AUTH_HMAC_SHA2_384_192
	IntegHMACSHA2512 TransformID = 14 // AUTH_HMAC_SHA2_512_256
)

// Key exchange methods (transform type 4).
const (
	GroupNone     TransformID = 0
	GroupMODP1024 TransformID = 2
	GroupMODP1536 TransformID = 5
	GroupMODP2048 TransformID = 14
	GroupMODP3072 TransformID = 15
	GroupMODP4096 TransformID = 16
	GroupECP256   TransformID = 19
	GroupECP384   TransformID = 20
	GroupECP521   TransformID = 21
	GroupX25519   TransformID = 31
	GroupX448     TransformID = 32
)

// Extended Sequence Numbers (transform type 5).
const (
	ESNNo  TransformID = 0
	ESNYes TransformID = 1
)

// Authentication methods.
const (
	AuthRSASignature     AuthMethod = 1
	AuthSharedKey        AuthMethod = 2
	AuthDigitalSignature AuthMethod = 14
)

// Identification types.
const (
	IDIPv4Addr IDType = 1
	IDFQDN     IDType = 2
	IDRFC822   IDType = 3
	IDIPv6Addr IDType = 5
	IDDERDN    IDType = 9
	IDDERGN    IDType = 10
	IDKeyID    IDType = 11
)

// Notify message types: errors below 16384, status above (RFC 7296, Section 3.10.1).
const (
	UnsupportedCriticalPayload NotifyType = 1
	InvalidIKESPI              NotifyType = 4
	InvalidMajorVersion        NotifyType = 5
	InvalidSyntax              NotifyType = 7
	InvalidMessageID           NotifyType = 9
	InvalidSPI                 NotifyType = 11
	NoProposalChosen           NotifyType = 14
	InvalidKEPayload           NotifyType = 17
	AuthenticationFailed       NotifyType = 24
	SinglePairRequired         NotifyType = 34
	NoAdditionalSAs            NotifyType = 35
	InternalAddressFailure     NotifyType = 36
	FailedCPRequired           NotifyType = 37
	TSUnacceptable             NotifyType = 38
	InvalidSelectors           NotifyType = 39
	TemporaryFailure           NotifyType = 43
	ChildSANotFound            NotifyType = 44

	InitialContact            NotifyType = 16384
	SetWindowSize             NotifyType = 16385
	AdditionalTSPossible      NotifyType = 16386
	IPCompSupported           NotifyType = 16387
	NATDetectionSourceIP      NotifyType = 16388
	NATDetectionDestinationIP NotifyType = 16389
	Cookie                    NotifyType = 16390
	UseTransportMode          NotifyType = 16391
	HTTPCertLookupSupported   NotifyType = 16392
	RekeySA                   NotifyType = 16393
	ESPTFCPaddingNotSupported NotifyType = 16394
	NonFirstFragmentsAlso     NotifyType = 16395
	FragmentationSupported    NotifyType = 16430 // IKEV2_FRAGMENTATION_SUPPORTED, RFC 7383
	SignatureHashAlgorithms   NotifyType = 16431 // RFC 7427
)
