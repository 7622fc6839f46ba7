package wire

// More of the code points of RFC 7296 and of its extensions; those of the base are in types.go.

// Payload types that extensions added and that are kept as Unknown.
const (
	PayloadGSPM   PayloadType = 49 // RFC 6467
	PayloadPuzzle PayloadType = 54 // RFC 8019
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

// Certificate encodings (RFC 7296, Section 3.6).
const (
	CertX509Signature   CertEncoding = 4
	CertCRL             CertEncoding = 7
	CertHashURLX509     CertEncoding = 12
	CertHashURLBundle   CertEncoding = 13
	CertOCSPContent     CertEncoding = 14 // RFC 4806
	CertRawPublicKey    CertEncoding = 15 // RFC 7670
	CertX509Attribute   CertEncoding = 10
	CertKerberosToken   CertEncoding = 6
	CertPKCS7           CertEncoding = 1
	CertPGP             CertEncoding = 2
	CertDNSSigned       CertEncoding = 3
	CertAuthorityRevoke CertEncoding = 8
	CertSPKI            CertEncoding = 9
)

// Authentication methods that extensions added.
const (
	AuthDSSSignature AuthMethod = 3
	AuthECDSAP256    AuthMethod = 9  // RFC 4754
	AuthECDSAP384    AuthMethod = 10 // RFC 4754
	AuthECDSAP521    AuthMethod = 11 // RFC 4754
	AuthSecurePass   AuthMethod = 12 // RFC 6467
	AuthNull         AuthMethod = 13 // RFC 7619
)

// IDNull is the identification type of unauthenticated peers (RFC 7619).
const IDNull IDType = 13

// Transform types of additional key exchanges (RFC 9370).
const (
	TransformADDKE1 TransformType = 6
	TransformADDKE7 TransformType = 12
)

// Larger and hybrid key exchange methods (RFC 3526; draft-ietf-ipsecme-ikev2-mlkem).
const (
	GroupMODP6144  TransformID = 17
	GroupMODP8192  TransformID = 18
	GroupMLKEM512  TransformID = 35
	GroupMLKEM768  TransformID = 36
	GroupMLKEM1024 TransformID = 37
)

// Notify message types that extensions added.
const (
	UnacceptableAddresses NotifyType = 40 // RFC 4555
	UnexpectedNATDetected NotifyType = 41 // RFC 4555
	UseAssignedHoA        NotifyType = 42 // RFC 5026
	InvalidGroupID        NotifyType = 45 // RFC 9838
	AuthorizationFailed   NotifyType = 46 // RFC 9838
	StateNotFound         NotifyType = 47 // RFC 9370
	TSMaxQueue            NotifyType = 48 // RFC 9611

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
	maxErrorNotify             NotifyType = 16383
)

// IsError says that the notify reports an error rather than a status (RFC 7296, Section 3.10.1). One that is not recognized, in
// a response, means that the request failed entirely.
func (t NotifyType) IsError() bool { return t <= maxErrorNotify }
