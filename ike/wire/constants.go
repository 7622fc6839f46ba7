package wire

// The code points of IKEv2, in the order of the IANA registries: those of RFC 7296 and of its
// extensions. Code points of an extension name its RFC.

// Payload types (RFC 7296, Section 3.2). GSPM and Puzzle are parsed as Unknown.
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
	PayloadGSPM    PayloadType = 49 // RFC 6467
	PayloadSKF     PayloadType = 53 // RFC 7383
	PayloadPuzzle  PayloadType = 54 // RFC 8019
)

// Exchange types (RFC 7296, Section 3.1).
const (
	IKESAInit        ExchangeType = 34
	IKEAuth          ExchangeType = 35
	CreateChildSA    ExchangeType = 36
	Informational    ExchangeType = 37
	IKESessionResume ExchangeType = 38 // RFC 5723
	IKEIntermediate  ExchangeType = 43 // RFC 9242
	IKEFollowupKE    ExchangeType = 44 // RFC 9370
)

// Security protocols (RFC 7296, Section 3.3.1).
const (
	ProtoNone ProtocolID = 0
	ProtoIKE  ProtocolID = 1
	ProtoAH   ProtocolID = 2
	ProtoESP  ProtocolID = 3
)

// Transform types (RFC 7296, Section 3.3.2). ADDKE1 to ADDKE7 are additional key exchanges (RFC
// 9370).
const (
	TransformENCR   TransformType = 1
	TransformPRF    TransformType = 2
	TransformINTEG  TransformType = 3
	TransformKE     TransformType = 4
	TransformESN    TransformType = 5
	TransformADDKE1 TransformType = 6
	TransformADDKE7 TransformType = 12
)

// Encryption algorithms (transform type 1).
const (
	EncrNULL             TransformID = 11
	EncrAESCBC           TransformID = 12
	EncrAESCTR           TransformID = 13
	EncrAESCCM8          TransformID = 14
	EncrAESCCM12         TransformID = 15
	EncrAESCCM16         TransformID = 16
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

// Key exchange methods (transform type 4). ML-KEM is from draft-ietf-ipsecme-ikev2-mlkem.
const (
	GroupNone      TransformID = 0
	GroupMODP1024  TransformID = 2
	GroupMODP1536  TransformID = 5
	GroupMODP2048  TransformID = 14
	GroupMODP3072  TransformID = 15
	GroupMODP4096  TransformID = 16
	GroupMODP6144  TransformID = 17
	GroupMODP8192  TransformID = 18
	GroupECP256    TransformID = 19
	GroupECP384    TransformID = 20
	GroupECP521    TransformID = 21
	GroupX25519    TransformID = 31
	GroupX448      TransformID = 32
	GroupMLKEM512  TransformID = 35
	GroupMLKEM768  TransformID = 36
	GroupMLKEM1024 TransformID = 37
)

// Extended Sequence Numbers (transform type 5).
const (
	ESNNo  TransformID = 0
	ESNYes TransformID = 1
)

// Identification types (RFC 7296, Section 3.5).
const (
	IDIPv4Addr IDType = 1
	IDFQDN     IDType = 2
	IDRFC822   IDType = 3
	IDIPv6Addr IDType = 5
	IDDERDN    IDType = 9
	IDDERGN    IDType = 10
	IDKeyID    IDType = 11
	IDNull     IDType = 13 // RFC 7619
)

// Authentication methods (RFC 7296, Section 3.8).
const (
	AuthRSASignature     AuthMethod = 1
	AuthSharedKey        AuthMethod = 2
	AuthDSSSignature     AuthMethod = 3
	AuthECDSAP256        AuthMethod = 9  // RFC 4754
	AuthECDSAP384        AuthMethod = 10 // RFC 4754
	AuthECDSAP521        AuthMethod = 11 // RFC 4754
	AuthSecurePass       AuthMethod = 12 // RFC 6467
	AuthNull             AuthMethod = 13 // RFC 7619
	AuthDigitalSignature AuthMethod = 14 // RFC 7427
)

// Certificate encodings (RFC 7296, Section 3.6).
const (
	CertPKCS7           CertEncoding = 1
	CertPGP             CertEncoding = 2
	CertDNSSigned       CertEncoding = 3
	CertX509Signature   CertEncoding = 4
	CertKerberosToken   CertEncoding = 6
	CertCRL             CertEncoding = 7
	CertAuthorityRevoke CertEncoding = 8
	CertSPKI            CertEncoding = 9
	CertX509Attribute   CertEncoding = 10
	CertHashURLX509     CertEncoding = 12
	CertHashURLBundle   CertEncoding = 13
	CertOCSPContent     CertEncoding = 14 // RFC 4806
	CertRawPublicKey    CertEncoding = 15 // RFC 7670
)

// Configuration payload types (RFC 7296, Section 3.15).
const (
	CFGRequest CFGType = 1
	CFGReply   CFGType = 2
	CFGSet     CFGType = 3
	CFGAck     CFGType = 4
)

// Configuration attributes (RFC 7296, Section 3.15.1; RFC 8598).
const (
	InternalIP4Address  ConfigAttributeType = 1
	InternalIP4Netmask  ConfigAttributeType = 2
	InternalIP4DNS      ConfigAttributeType = 3
	InternalIP4NBNS     ConfigAttributeType = 4
	InternalIP4DHCP     ConfigAttributeType = 6
	ApplicationVersion  ConfigAttributeType = 7
	InternalIP6Address  ConfigAttributeType = 8
	InternalIP6DNS      ConfigAttributeType = 10
	InternalIP6DHCP     ConfigAttributeType = 12
	InternalIP4Subnet   ConfigAttributeType = 13
	SupportedAttributes ConfigAttributeType = 14
	InternalIP6Subnet   ConfigAttributeType = 15
	InternalDNSDomain   ConfigAttributeType = 25
	InternalDNSSECTA    ConfigAttributeType = 26
)

// Notify message types: errors below 16384, status above (RFC 7296, Section 3.10.1). Those without
// an RFC are from RFC 7296, or from the last RFC named before them.
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
	UnacceptableAddresses      NotifyType = 40 // RFC 4555
	UnexpectedNATDetected      NotifyType = 41 // RFC 4555
	UseAssignedHoA             NotifyType = 42 // RFC 5026
	TemporaryFailure           NotifyType = 43
	ChildSANotFound            NotifyType = 44
	InvalidGroupID             NotifyType = 45 // RFC 9838
	AuthorizationFailed        NotifyType = 46 // RFC 9838
	StateNotFound              NotifyType = 47 // RFC 9370
	TSMaxQueue                 NotifyType = 48 // RFC 9611

	InitialContact             NotifyType = 16384
	SetWindowSize              NotifyType = 16385
	AdditionalTSPossible       NotifyType = 16386
	IPCompSupported            NotifyType = 16387
	NATDetectionSourceIP       NotifyType = 16388
	NATDetectionDestinationIP  NotifyType = 16389
	Cookie                     NotifyType = 16390
	UseTransportMode           NotifyType = 16391
	HTTPCertLookupSupported    NotifyType = 16392
	RekeySA                    NotifyType = 16393
	ESPTFCPaddingNotSupported  NotifyType = 16394
	NonFirstFragmentsAlso      NotifyType = 16395
	MobikeSupported            NotifyType = 16396 // RFC 4555
	AdditionalIP4Address       NotifyType = 16397
	AdditionalIP6Address       NotifyType = 16398
	NoAdditionalAddresses      NotifyType = 16399
	UpdateSAAddresses          NotifyType = 16400
	Cookie2                    NotifyType = 16401
	NoNATsAllowed              NotifyType = 16402
	AuthLifetime               NotifyType = 16403 // RFC 4478
	MultipleAuthSupported      NotifyType = 16404 // RFC 4739
	AnotherAuthFollows         NotifyType = 16405
	RedirectSupported          NotifyType = 16406 // RFC 5685
	Redirect                   NotifyType = 16407
	RedirectedFrom             NotifyType = 16408
	TicketLTOpaque             NotifyType = 16409 // RFC 5723
	TicketRequest              NotifyType = 16410
	TicketAck                  NotifyType = 16411
	TicketNack                 NotifyType = 16412
	TicketOpaque               NotifyType = 16413
	LinkID                     NotifyType = 16414 // RFC 5739
	UseWESPMode                NotifyType = 16415 // RFC 5840
	ROHCSupported              NotifyType = 16416 // RFC 5857
	EAPOnlyAuthentication      NotifyType = 16417 // RFC 5998
	ChildlessIKEv2Supported    NotifyType = 16418 // RFC 6023
	QuickCrashDetection        NotifyType = 16419 // RFC 6290
	MessageIDSyncSupported     NotifyType = 16420 // RFC 6311
	ReplayCounterSyncSupported NotifyType = 16421
	MessageIDSync              NotifyType = 16422
	ReplayCounterSync          NotifyType = 16423
	SecurePasswordMethods      NotifyType = 16424 // RFC 6467
	PSKPersist                 NotifyType = 16425 // RFC 6631
	PSKConfirm                 NotifyType = 16426
	ERXSupported               NotifyType = 16427 // RFC 6867
	IFOMCapability             NotifyType = 16428
	GroupSender                NotifyType = 16429 // RFC 9838
	FragmentationSupported     NotifyType = 16430 // IKEV2_FRAGMENTATION_SUPPORTED, RFC 7383
	SignatureHashAlgorithms    NotifyType = 16431 // RFC 7427
	CloneIKESASupported        NotifyType = 16432 // RFC 7791
	CloneIKESA                 NotifyType = 16433
	Puzzle                     NotifyType = 16434 // RFC 8019
	UsePPK                     NotifyType = 16435 // RFC 8784
	PPKIdentity                NotifyType = 16436
	NoPPKAuth                  NotifyType = 16437
	IntermediateSupported      NotifyType = 16438 // RFC 9242
	IP4Allowed                 NotifyType = 16439 // RFC 8983
	IP6Allowed                 NotifyType = 16440
	AdditionalKeyExchange      NotifyType = 16441 // RFC 9370
	UseAggfrag                 NotifyType = 16442 // RFC 9347
	SupportedAuthMethods       NotifyType = 16443 // RFC 9593
	SAResourceInfo             NotifyType = 16444 // RFC 9611
)

// maxErrorNotify is the largest notify message type of an error.
const maxErrorNotify NotifyType = 16383

// IsError reports whether the notify reports an error rather than a status (RFC 7296, Section
// 3.10.1). An unrecognized error in a response means that the request failed entirely.
func (t NotifyType) IsError() bool { return t <= maxErrorNotify }
