// Package interop describes the exchanges of culvert with other implementations that the end-to-end
// tests and `make interop` run: its peers, the cells of the matrix of each, what came of them, and
// docs/interop.md.
package interop

import (
	"slices"
	"strings"
)

// A Cell is an exchange with a peer: a tunnel comes up, carries packets both ways over the hard
// lifetimes of its first SAs, is rekeyed meanwhile, and is taken down. All fields have values of
// the axes, or those of a cell of one algorithm (see Peer.ESP and Peer.IKE) are empty but for the
// first two.
type Cell struct {
	Peer      string // the Name of a Peer
	Algorithm string // of which protocol it is, and its proposal: "ESP aes128gcm16"
	Initiator string
	Rekeys    string // who rekeys the Child SA and the IKE SA
	Auth      string
	NAT       string
	Outer     string
	Feature   string
}

// Values of the axes.
const (
	Culvert = "culvert"
	Them    = "peer"

	PSK     = "PSK"
	RSA     = "RSA"
	ECDSA   = "ECDSA"
	Ed25519 = "Ed25519"

	NoNAT    = "no NAT"
	NATLeft  = "NAT at culvert"
	NATRight = "NAT at the peer"
	NATBoth  = "NAT at both"

	IPv4 = "IPv4"
	IPv6 = "IPv6"
)

// Features of a cell.
const (
	Defaults  = "own defaults" // no proposal is configured on either side
	Fragments = "fragments"
	Cookies   = "cookies"
	Several   = "several children"
	Ports     = "ranges and ports"
	PFSByUs   = "PFS by us"
	PFSByThem = "PFS by them"
	PFSByBoth = "PFS by both"
	ReauthWe  = "reauthentication by us"
	ReauthThe = "reauthentication by them"
	Transport = "transport mode"
	Childless = "childless" // the IKE SA is made without a Child SA
	PerPair   = "a Child SA for each pair"
)

// An axis is a field of Cell with its values.
type axis struct {
	of     func(*Cell) *string
	values []string
}

var axes = []axis{
	{func(c *Cell) *string { return &c.Initiator }, []string{Culvert, Them}},
	{func(c *Cell) *string { return &c.Rekeys }, []string{Culvert, Them}},
	{func(c *Cell) *string { return &c.Auth }, []string{PSK, RSA, ECDSA, Ed25519}},
	{func(c *Cell) *string { return &c.NAT }, []string{NoNAT, NATLeft, NATRight, NATBoth}},
	{func(c *Cell) *string { return &c.Outer }, []string{IPv4, IPv6}},
	{func(c *Cell) *string { return &c.Feature }, []string{Defaults, Fragments, Cookies, Several, Ports, PFSByUs, PFSByThem, PFSByBoth, ReauthWe, ReauthThe, Transport, Childless, PerPair}},
}

// Name returns what identifies the cell among all.
func (c Cell) Name() string { return c.Peer + ": " + c.Short() }

// Short returns the name of the cell among those of its peer.
func (c Cell) Short() string {
	if c.Algorithm != "" {
		return c.Algorithm
	}
	return strings.Join([]string{c.Initiator + " initiates", c.Rekeys + " rekeys", c.Auth, c.NAT, c.Outer, c.Feature}, ", ")
}

// impossible returns why a cell cannot be, whatever the peer; empty: it can.
func (c Cell) impossible() string {
	if c.Feature == Fragments && c.Auth == PSK {
		return "all messages fit into the smallest datagram: there is nothing to fragment"
	}
	return ""
}

// product returns every combination of the axes that the peer has.
func (p Peer) product() []Cell {
	cells := []Cell{{Peer: p.Name}}
	for _, a := range axes {
		var longer []Cell
		for _, c := range cells {
			for _, v := range a.values {
				*a.of(&c) = v
				longer = append(longer, c)
			}
		}
		cells = longer
	}
	return slices.DeleteFunc(cells, func(c Cell) bool { return p.lacks(c) != "" })
}
