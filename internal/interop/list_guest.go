package interop

import "slices"

// Names of peers in guests.
const (
	Kernel    = "strongSwan 6.0 over ESP of Linux"
	Libreswan = "libreswan 5.2"
	OpenIKED  = "OpenIKED 7.4"
)

// kernelESP are what Linux and its Debian's kernel have besides, each in one cell.
var kernelESP = []string{
	"aes128gcm16-esn", "aes128gmac-esn", "aes256gmac", "aes256gcm16", "aes256gcm8-esn", "chacha20poly1305-esn", "aes192ccm12",
	"aes128-sha256-esn", "aes256-sha512", "aes256ctr-sha384", "null-sha256",
}

// guests are those whose packets a kernel carries.
var guests = []Peer{
	{
		Name: Kernel, Form: "Debian 13's strongSwan over ESP of Linux 6.12, in a guest", Where: Guest,
		ESP: kernelESP, IKE: []string{"aes128gcm16-prfsha256-x25519"},
		Limits: []Limit{
			{What: "each of strongSwan's other algorithms", Why: "strongSwan 6.0 above has them"},
		},
	},
	{
		Name: Libreswan, Form: "Debian 13's libreswan over ESP of Linux 6.12, in a guest", Where: Guest,
		Limits: plutoLimits,
	},
	{
		Name: OpenIKED, Form: "Debian 13's OpenIKED over ESP of Linux 6.12, in a guest", Where: Guest,
		Limits: ikedLimits,
	},
}

// has returns a function that reports whether a cell has one of these features.
func has(features ...string) func(Cell) bool {
	return func(c Cell) bool { return slices.Contains(features, c.Feature) }
}

// limitedAtInitiator reports whether a peer that knows no limits of authentication (RFC 4478)
// cannot authenticate again in a cell.
func limitedAtInitiator(c Cell) bool {
	return c.Feature == ReauthWe && c.Initiator == Them || c.Feature == ReauthThe && c.Initiator == Culvert
}

var plutoLimits = []Limit{
	{What: "Ed25519", Why: "its NSS has no signatures of that kind for IKE", cell: func(c Cell) bool { return c.Auth == Ed25519 }},
	{What: "reauthentication at the responder's limit", Why: "it does not know AUTH_LIFETIME (RFC 4478)", cell: limitedAtInitiator},
	{What: "PFS by us", Why: "it has no setting that allows both: with pfs = yes it requires it", cell: has(PFSByUs)},
	{What: "childless IKE SAs", Why: "it does not know RFC 6023", cell: has(Childless)},
	{What: "address ranges", Why: "its networks are prefixes; the cells have ports alone"},
	{
		What: "transport mode behind a NAT",
		Why:  "it does not substitute addresses (RFC 7296, 2.23.1)",
		cell: func(c Cell) bool { return c.Feature == Transport && c.NAT != NoNAT },
	},
}

var ikedLimits = []Limit{
	{What: "Ed25519", Why: "it signs by RSA and ECDSA only", cell: func(c Cell) bool { return c.Auth == Ed25519 }},
	{What: "reauthentication", Why: "it neither knows AUTH_LIFETIME (RFC 4478) nor authenticates again by itself", cell: has(ReauthWe, ReauthThe)},
	{What: "cookies that it asks for", Why: "as responder it asks nobody for one", cell: func(c Cell) bool { return c.Feature == Cookies && c.Initiator == Culvert }},
	{
		What: "transport mode behind a NAT", Why: "it does not substitute addresses (RFC 7296, 2.23.1)",
		cell: func(c Cell) bool { return c.Feature == Transport && c.NAT != NoNAT },
	},
	{What: "IPv4 in IPv6", Why: "PF_KEY of Linux has no such SAs; cells over IPv6 carry IPv6"},
	{What: "AES-GCM and ESN in ESP", Why: "it has neither over Linux's PF_KEY"},
	{What: "several children", Why: "a policy of it is one Child SA, and a second policy another IKE SA", cell: has(Several, PerPair)},
	{What: "address ranges and ports", Why: "its networks are prefixes, and ports are those of a whole policy", cell: has(Ports)},
	{What: "childless IKE SAs", Why: "it does not know RFC 6023", cell: has(Childless)},
}
