// Package config reads the operator's TOML files into a validated policy. It is strict: an unknown key, a wrong type or a value that makes no sense is an
// error with its file and line, and all errors are reported at once. It is the only importer of the TOML library.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"culvert/esp"
	"culvert/ike"
	"culvert/selector"
)

// Config is everything that one daemon is to do, validated, with all defaults filled in.
type Config struct {
	Daemon   Daemon
	Peers    []Peer
	Warnings []error  // what is allowed but unwise, each an *Error
	Files    []string // every file that was read

	place map[string]int // of a peer in Peers, by its name
}

// Peer is the peer of a name, or nil.
func (c *Config) Peer(name string) *Peer {
	if i, ok := c.place[name]; ok {
		return &c.Peers[i]
	}
	return nil
}

// Daemon is the [daemon] table.
type Daemon struct {
	TUN     string
	Control string // path of the control socket
	Listen  []netip.Addr
	IKEPort uint16
	NATPort uint16
	DSCP    uint8         // of IKE
	Workers int           // 0: one for each processor
	Spin    time.Duration // of a worker that has nothing to do, before it sleeps
	MTU     int           // 0: computed
	Log     slog.Level
	JSONLog bool
	Metrics string // host:port; empty: off
}

// Peer is one [[peer]].
type Peer struct {
	// Peer is what the IKE engine is told; its Children are those that IKE negotiates, and its Remote is empty while RemoteName is not resolved.
	ike.Peer
	RemoteName string // the DNS name of the peer; empty where remote is an address or absent
	Manual     []Manual
	Order      []string // the names of all children, IKE's and manual, in the order of the file
}

// Manual is a child without IKE: its keys are in the file.
type Manual struct {
	Name          string
	Local, Remote []selector.Selector
	SPIIn, SPIOut uint32 // zero: this direction is absent
	KeyIn, KeyOut []byte // cipher key, then salt
	Cipher        esp.Cipher
	CipherName    string
	ESN           bool
	ReplayWindow  int
}

// Children is the number of children of all peers.
func (c *Config) Children() int {
	n := 0
	for i := range c.Peers {
		n += len(c.Peers[i].Order)
	}
	return n
}
