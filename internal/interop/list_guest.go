package interop

// Names of peers in guests.
const (
	Kernel    = "strongSwan 6.0 over ESP of Linux"
	Libreswan = "libreswan 5.2"
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
			{What: "transport mode", Why: "its cells are still to come"},
		},
	},
	{
		Name: Libreswan, Form: "Debian 13's libreswan over ESP of Linux 6.12, in a guest", Where: Guest,
		Limits: plutoLimits,
	},
}

// limitedAtInitiator reports whether a peer that knows no limits of authentication (RFC 4478)
// cannot authenticate again in a cell.
func limitedAtInitiator(c Cell) bool {
	return c.Feature == ReauthWe && c.Initiator == Them || c.Feature == ReauthThe && c.Initiator == Culvert
}

var plutoLimits = []Limit{
	{What: "Ed25519", Why: "its NSS has no signatures of that kind for IKE", cell: func(c Cell) bool { return c.Auth == Ed25519 }},
	{What: "reauthentication at the responder's limit", Why: "it does not know AUTH_LIFETIME (RFC 4478)", cell: limitedAtInitiator},
	{What: "PFS by us", Why: "it has no setting that allows both: with pfs = yes it requires it", cell: func(c Cell) bool { return c.Feature == PFSByUs }},
	{What: "address ranges", Why: "its networks are prefixes; the cells have ports alone"},
}
