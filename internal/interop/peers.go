package interop

import "slices"

// A Peer is an implementation that culvert is run beside, in one of its forms.
type Peer struct {
	Name string
	Form string // where it comes from and what carries its packets
	// Where it runs: on this host, where `make test` runs a part of it, from a Debian of its own,
	// or in the kernel of a guest.
	Where Where
	// UDPOnly is whether it sends ESP in UDP only, and says that there is a NAT at its side.
	UDPOnly bool
	// ESP and IKE are the proposals with each algorithm that it shares with culvert.
	ESP, IKE []string
	// Limits are what cannot be run with it.
	Limits []Limit
}

// Where is where a peer runs.
type Where int

const (
	Here   Where = iota // a package of this host
	Chroot              // a Debian in a folder
	Guest               // a kernel in an emulator
)

// A Limit is something that cannot be run with a peer.
type Limit struct {
	What, Why string
	cell      func(Cell) bool // which cells it removes; nil: none of the axes has it
}

// lacks returns why a peer cannot run a cell; empty: it can.
func (p Peer) lacks(c Cell) string {
	if why := c.impossible(); why != "" {
		return why
	}
	for _, l := range p.Limits {
		if l.cell != nil && l.cell(c) {
			return l.Why
		}
	}
	return ""
}

// Cells returns the cells of the peer: each pair of values of the axes that it has occurs in one,
// and each algorithm in one of its own.
func (p Peer) Cells() []Cell {
	cells, _ := pairwise(p.product())
	return append(cells, p.Algorithms()...)
}

// ShortCells returns the cells that `make test` runs: each value of every axis occurs, and each
// pair of values but those with a feature.
func (p Peer) ShortCells() []Cell {
	cells, short := pairwise(p.product())
	return cells[:short]
}

// Algorithms returns the cells of single algorithms.
func (p Peer) Algorithms() (cells []Cell) {
	for _, proposal := range p.ESP {
		cells = append(cells, Cell{Peer: p.Name, Algorithm: "ESP " + proposal})
	}
	for _, proposal := range p.IKE {
		cells = append(cells, Cell{Peer: p.Name, Algorithm: "IKE " + proposal})
	}
	return cells
}

// Find returns the peer of a name.
func Find(name string) (Peer, bool) {
	i := slices.IndexFunc(Peers, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, false
	}
	return Peers[i], true
}

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
		"aes128gcm16-prfsha256-modp6144", "aes128gcm16-prfsha256-modp8192",
	}
)

// StrongSwan is the peer of `make test`.
const StrongSwan = "strongSwan 5.9"

// Peers are all peers, in the order of docs/interop.md.
var Peers = []Peer{
	{
		Name: StrongSwan, Form: "Debian 12's packages, with its ESP in userspace (kernel-libipsec)", Where: Here, UDPOnly: true,
		ESP: swanESP, IKE: swanIKE,
		Limits: []Limit{
			{What: "transport mode", Why: "its ESP in userspace has tunnel mode only"},
			{What: "ESN", Why: "its ESP in userspace has no extended sequence numbers: an SA with them cannot be installed"},
			{What: "AES-GMAC in ESP", Why: "its ESP in userspace does not have it"},
			{What: "ESP as protocol 50", Why: "its ESP in userspace sends UDP only, and says that there is a NAT"},
		},
	},
}
