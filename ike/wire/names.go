package wire

import "strconv"

// The names of the IANA registry "Internet Key Exchange Version 2 (IKEv2) Parameters". A code point
// without a name is printed as its number.

func nameOr[K ~uint8 | ~uint16](names map[K]string, kind string, k K) string {
	if s, ok := names[k]; ok {
		return s
	}
	return kind + "(" + strconv.Itoa(int(k)) + ")"
}

var payloadNames = map[PayloadType]string{
	NoNextPayload: "none", PayloadSA: "SA", PayloadKE: "KE", PayloadIDi: "IDi", PayloadIDr: "IDr", PayloadCert: "CERT",
	PayloadCertReq: "CERTREQ", PayloadAuth: "AUTH", PayloadNonce: "Nonce", PayloadNotify: "N", PayloadDelete: "D",
	PayloadVendor: "V", PayloadTSi: "TSi", PayloadTSr: "TSr", PayloadSK: "SK", PayloadCP: "CP", PayloadEAP: "EAP",
	PayloadGSPM: "GSPM", 50: "IDg", 51: "GSA", 52: "KD", PayloadSKF: "SKF", PayloadPuzzle: "PS",
}

// String returns the notation of RFC 7296, Section 3.2.
func (t PayloadType) String() string { return nameOr(payloadNames, "payload", t) }

var exchangeNames = map[ExchangeType]string{
	IKESAInit: "IKE_SA_INIT", IKEAuth: "IKE_AUTH", CreateChildSA: "CREATE_CHILD_SA", Informational: "INFORMATIONAL",
	IKESessionResume: "IKE_SESSION_RESUME", 39: "GSA_AUTH", 40: "GSA_REGISTRATION", 41: "GSA_REKEY", 42: "GSA_INBAND_REKEY",
	IKEIntermediate: "IKE_INTERMEDIATE", IKEFollowupKE: "IKE_FOLLOWUP_KE",
}

// String returns the exchange's IANA name.
func (t ExchangeType) String() string { return nameOr(exchangeNames, "exchange", t) }

var protocolNames = map[ProtocolID]string{ProtoNone: "none", ProtoIKE: "IKE", ProtoAH: "AH", ProtoESP: "ESP", 4: "FC_ESP_HEADER", 5: "FC_CT_AUTHENTICATION", 6: "GIKE_UPDATE"}

// String returns the protocol's IANA name.
func (p ProtocolID) String() string { return nameOr(protocolNames, "protocol", p) }

var transformTypeNames = map[TransformType]string{
	TransformENCR: "ENCR", TransformPRF: "PRF", TransformINTEG: "INTEG", TransformKE: "KE", TransformESN: "ESN",
	6: "ADDKE1", 7: "ADDKE2", 8: "ADDKE3", 9: "ADDKE4", 10: "ADDKE5", 11: "ADDKE6", 12: "ADDKE7", 13: "KWA", 14: "GCAUTH",
}

// String returns the transform type's IANA name.
func (t TransformType) String() string { return nameOr(transformTypeNames, "transform type", t) }

var idTypeNames = map[IDType]string{
	IDIPv4Addr: "ID_IPV4_ADDR", IDFQDN: "ID_FQDN", IDRFC822: "ID_RFC822_ADDR", IDIPv6Addr: "ID_IPV6_ADDR", IDDERDN: "ID_DER_ASN1_DN",
	IDDERGN: "ID_DER_ASN1_GN", IDKeyID: "ID_KEY_ID", 12: "ID_FC_NAME", IDNull: "ID_NULL",
}

// String returns the identification type's IANA name.
func (t IDType) String() string { return nameOr(idTypeNames, "ID type", t) }

var authMethodNames = map[AuthMethod]string{
	AuthRSASignature: "RSA Digital Signature", AuthSharedKey: "Shared Key Message Integrity Code", AuthDSSSignature: "DSS Digital Signature",
	AuthECDSAP256: "ECDSA with SHA-256 on the P-256 curve", AuthECDSAP384: "ECDSA with SHA-384 on the P-384 curve",
	AuthECDSAP521: "ECDSA with SHA-512 on the P-521 curve", AuthSecurePass: "Generic Secure Password Authentication Method",
	AuthNull: "NULL Authentication", AuthDigitalSignature: "Digital Signature",
}

// String returns the authentication method's IANA name.
func (m AuthMethod) String() string { return nameOr(authMethodNames, "authentication method", m) }

var certEncodingNames = map[CertEncoding]string{
	CertPKCS7: "PKCS #7 wrapped X.509 certificate", CertPGP: "PGP Certificate", CertDNSSigned: "DNS Signed Key",
	CertX509Signature: "X.509 Certificate - Signature", CertKerberosToken: "Kerberos Token", CertCRL: "Certificate Revocation List (CRL)",
	CertAuthorityRevoke: "Authority Revocation List (ARL)", CertSPKI: "SPKI Certificate", CertX509Attribute: "X.509 Certificate - Attribute",
	11: "Deprecated (was Raw RSA Key)", CertHashURLX509: "Hash and URL of X.509 certificate", CertHashURLBundle: "Hash and URL of X.509 bundle",
	CertOCSPContent: "OCSP Content", CertRawPublicKey: "Raw Public Key",
}

// String returns the certificate encoding's IANA name.
func (e CertEncoding) String() string { return nameOr(certEncodingNames, "certificate encoding", e) }

var cfgTypeNames = map[CFGType]string{CFGRequest: "CFG_REQUEST", CFGReply: "CFG_REPLY", CFGSet: "CFG_SET", CFGAck: "CFG_ACK"}

// String returns the configuration payload type's IANA name.
func (t CFGType) String() string { return nameOr(cfgTypeNames, "CFG type", t) }

var configAttributeNames = map[ConfigAttributeType]string{
	InternalIP4Address: "INTERNAL_IP4_ADDRESS", InternalIP4Netmask: "INTERNAL_IP4_NETMASK", InternalIP4DNS: "INTERNAL_IP4_DNS",
	InternalIP4NBNS: "INTERNAL_IP4_NBNS", InternalIP4DHCP: "INTERNAL_IP4_DHCP", ApplicationVersion: "APPLICATION_VERSION",
	InternalIP6Address: "INTERNAL_IP6_ADDRESS", InternalIP6DNS: "INTERNAL_IP6_DNS", InternalIP6DHCP: "INTERNAL_IP6_DHCP",
	InternalIP4Subnet: "INTERNAL_IP4_SUBNET", SupportedAttributes: "SUPPORTED_ATTRIBUTES", InternalIP6Subnet: "INTERNAL_IP6_SUBNET",
	16: "MIP6_HOME_PREFIX", 17: "INTERNAL_IP6_LINK", 18: "INTERNAL_IP6_PREFIX", 19: "HOME_AGENT_ADDRESS", 20: "P_CSCF_IP4_ADDRESS",
	21: "P_CSCF_IP6_ADDRESS", 22: "FTT_KAT", 23: "EXTERNAL_SOURCE_IP4_NAT_INFO", 24: "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK",
	InternalDNSDomain: "INTERNAL_DNS_DOMAIN", InternalDNSSECTA: "INTERNAL_DNSSEC_TA", 27: "ENCDNS_IP4", 28: "ENCDNS_IP6", 29: "ENCDNS_DIGEST_INFO",
}

// String returns the configuration attribute's IANA name.
func (t ConfigAttributeType) String() string {
	return nameOr(configAttributeNames, "attribute", t)
}

var notifyNames = map[NotifyType]string{
	UnsupportedCriticalPayload: "UNSUPPORTED_CRITICAL_PAYLOAD", InvalidIKESPI: "INVALID_IKE_SPI", InvalidMajorVersion: "INVALID_MAJOR_VERSION",
	InvalidSyntax: "INVALID_SYNTAX", InvalidMessageID: "INVALID_MESSAGE_ID", InvalidSPI: "INVALID_SPI", NoProposalChosen: "NO_PROPOSAL_CHOSEN",
	InvalidKEPayload: "INVALID_KE_PAYLOAD", AuthenticationFailed: "AUTHENTICATION_FAILED", SinglePairRequired: "SINGLE_PAIR_REQUIRED",
	NoAdditionalSAs: "NO_ADDITIONAL_SAS", InternalAddressFailure: "INTERNAL_ADDRESS_FAILURE", FailedCPRequired: "FAILED_CP_REQUIRED",
	TSUnacceptable: "TS_UNACCEPTABLE", InvalidSelectors: "INVALID_SELECTORS", UnacceptableAddresses: "UNACCEPTABLE_ADDRESSES",
	UnexpectedNATDetected: "UNEXPECTED_NAT_DETECTED", UseAssignedHoA: "USE_ASSIGNED_HoA", TemporaryFailure: "TEMPORARY_FAILURE",
	ChildSANotFound: "CHILD_SA_NOT_FOUND", InvalidGroupID: "INVALID_GROUP_ID", AuthorizationFailed: "AUTHORIZATION_FAILED",
	StateNotFound: "STATE_NOT_FOUND", TSMaxQueue: "TS_MAX_QUEUE",

	InitialContact: "INITIAL_CONTACT", SetWindowSize: "SET_WINDOW_SIZE", AdditionalTSPossible: "ADDITIONAL_TS_POSSIBLE",
	IPCompSupported: "IPCOMP_SUPPORTED", NATDetectionSourceIP: "NAT_DETECTION_SOURCE_IP", NATDetectionDestinationIP: "NAT_DETECTION_DESTINATION_IP",
	Cookie: "COOKIE", UseTransportMode: "USE_TRANSPORT_MODE", HTTPCertLookupSupported: "HTTP_CERT_LOOKUP_SUPPORTED", RekeySA: "REKEY_SA",
	ESPTFCPaddingNotSupported: "ESP_TFC_PADDING_NOT_SUPPORTED", NonFirstFragmentsAlso: "NON_FIRST_FRAGMENTS_ALSO",
	MobikeSupported: "MOBIKE_SUPPORTED", AdditionalIP4Address: "ADDITIONAL_IP4_ADDRESS", AdditionalIP6Address: "ADDITIONAL_IP6_ADDRESS",
	NoAdditionalAddresses: "NO_ADDITIONAL_ADDRESSES", UpdateSAAddresses: "UPDATE_SA_ADDRESSES", Cookie2: "COOKIE2", NoNATsAllowed: "NO_NATS_ALLOWED",
	AuthLifetime: "AUTH_LIFETIME", MultipleAuthSupported: "MULTIPLE_AUTH_SUPPORTED", AnotherAuthFollows: "ANOTHER_AUTH_FOLLOWS",
	RedirectSupported: "REDIRECT_SUPPORTED", Redirect: "REDIRECT", RedirectedFrom: "REDIRECTED_FROM", TicketLTOpaque: "TICKET_LT_OPAQUE",
	TicketRequest: "TICKET_REQUEST", TicketAck: "TICKET_ACK", TicketNack: "TICKET_NACK", TicketOpaque: "TICKET_OPAQUE", LinkID: "LINK_ID",
	UseWESPMode: "USE_WESP_MODE", ROHCSupported: "ROHC_SUPPORTED", EAPOnlyAuthentication: "EAP_ONLY_AUTHENTICATION",
	ChildlessIKEv2Supported: "CHILDLESS_IKEV2_SUPPORTED", QuickCrashDetection: "QUICK_CRASH_DETECTION",
	MessageIDSyncSupported: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED", ReplayCounterSyncSupported: "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED",
	MessageIDSync: "IKEV2_MESSAGE_ID_SYNC", ReplayCounterSync: "IPSEC_REPLAY_COUNTER_SYNC", SecurePasswordMethods: "SECURE_PASSWORD_METHODS",
	PSKPersist: "PSK_PERSIST", PSKConfirm: "PSK_CONFIRM", ERXSupported: "ERX_SUPPORTED", IFOMCapability: "IFOM_CAPABILITY",
	GroupSender: "GROUP_SENDER", FragmentationSupported: "IKEV2_FRAGMENTATION_SUPPORTED", SignatureHashAlgorithms: "SIGNATURE_HASH_ALGORITHMS",
	CloneIKESASupported: "CLONE_IKE_SA_SUPPORTED", CloneIKESA: "CLONE_IKE_SA", Puzzle: "PUZZLE", UsePPK: "USE_PPK", PPKIdentity: "PPK_IDENTITY",
	NoPPKAuth: "NO_PPK_AUTH", IntermediateSupported: "INTERMEDIATE_EXCHANGE_SUPPORTED", IP4Allowed: "IP4_ALLOWED", IP6Allowed: "IP6_ALLOWED",
	AdditionalKeyExchange: "ADDITIONAL_KEY_EXCHANGE", UseAggfrag: "USE_AGGFRAG", SupportedAuthMethods: "SUPPORTED_AUTH_METHODS",
	SAResourceInfo: "SA_RESOURCE_INFO",
}

// String returns the notify message type's IANA name.
func (t NotifyType) String() string {
	if t.IsError() {
		return nameOr(notifyNames, "error", t)
	}
	return nameOr(notifyNames, "status", t)
}
