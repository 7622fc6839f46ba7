package interop

import "slices"

// Algorithms of strongSwan 5.9. AES-GMAC is not among those of its userspace ESP. The PRF of IKE
// stays the same: it derives the keys of a rekeying by the one before.
var (
	swanESP = []string{
		"aes128gcm8", "aes192gcm12", "aes256gcm12", "aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305",
		"aes128ccm8", "aes192ccm12", "aes256ccm16",
		"aes128-sha256", "aes192-sha384", "aes256-sha512", "aes128-sha1",
		"aes128ctr-sha256", "aes192ctr-sha384", "aes256ctr-sha512", "aes256ctr-sha1",
		"null-sha256", "null-sha512",
		"aes256-sha256-modp2048", "aes128gcm16-ecp384",
	}
	swanIKE = []string{
		"aes128gcm8-prfsha256-x25519", "aes192gcm12-prfsha256-ecp256", "aes256gcm16-prfsha256-ecp384",
		"aes128ccm8-prfsha256-x25519", "aes192ccm12-prfsha256-x25519", "aes256ccm16-prfsha256-x25519", "chacha20poly1305-prfsha256-ecp521",
		"aes128-sha256-prfsha256-x25519", "aes192-sha384-prfsha256-x25519", "aes256-sha512-prfsha256-modp2048", "aes256-sha1-prfsha256-modp1024",
		"aes128ctr-sha256-prfsha256-modp1536", "aes192ctr-sha384-prfsha256-modp3072", "aes256ctr-sha512-prfsha256-modp4096",
		"aes128gcm16-prfsha256-modp6144", "aes128gcm16-prfsha256-modp8192", "aes256gcm16-prfsha256-x448",
	}
)

// Names of peers. StrongSwan is that of `make test`.
const (
	StrongSwan  = "strongSwan 5.9"
	StrongSwan6 = "strongSwan 6.0"
)

// Peers are all peers, in the order of docs/interop.md.
var Peers = slices.Concat(hosts, guests)

// hosts are those whose packets the peer itself carries.
var hosts = []Peer{
	{
		Name: StrongSwan, Form: "Debian 12's packages, with its ESP in userspace (kernel-libipsec)", Where: Here, UDPOnly: true,
		ESP: swanESP, IKE: swanIKE,
		Limits: []Limit{
			{What: "transport mode", Why: "its ESP in userspace has tunnel mode only", cell: func(c Cell) bool { return c.Feature == Transport }},
			{What: "ESN", Why: "its ESP in userspace has no extended sequence numbers: an SA with them cannot be installed"},
			{What: "AES-GMAC in ESP", Why: "its ESP in userspace does not have it"},
			{What: "ESP as protocol 50", Why: "its ESP in userspace sends UDP only, and says that there is a NAT"},
		},
	},
	{
		Name: StrongSwan6, Form: "Debian 13's packages; their ESP in userspace sends protocol 50 where there is no NAT (raw_esp)", Where: Chroot,
		ESP: swanESP, IKE: swanIKE,
		Limits: []Limit{
			{What: "transport mode", Why: "its ESP in userspace has tunnel mode only", cell: func(c Cell) bool { return c.Feature == Transport }},
			{What: "ESN", Why: "its ESP in userspace has no extended sequence numbers: an SA with them cannot be installed"},
			{What: "AES-GMAC in ESP", Why: "its ESP in userspace does not have it"},
		},
	},
}
