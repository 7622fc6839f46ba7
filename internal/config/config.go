// Package config reads the operator's TOML files into a validated configuration. It is strict: an
// unknown key, a wrong type or an invalid value is an error with file, line and remedy, and all
// errors are reported at once. It alone imports the TOML library.
package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"culvert/esp"
	"culvert/ike"
	"culvert/internal/revocation"
	"culvert/selector"
	"culvert/tun/protect"
)

// A Config is the validated configuration of one daemon, with all defaults filled in.
type Config struct {
	Daemon   Daemon
	Peers    []Peer
	Warnings []error  // what is allowed but unwise, each an *Error
	Files    []string // every file that was read

	Certificates []Certificate // of all peers

	place  map[string]int // of a peer in Peers, by its name
	places []place        // in the files, in step with Peers
}

// Peer returns the peer with a name, or nil.
func (c *Config) Peer(name string) *Peer {
	if i, ok := c.place[name]; ok {
		return &c.Peers[i]
	}
	return nil
}

// Place returns the place in Peers of the peer with a name; ok is false if there is none.
func (c *Config) Place(name string) (at int, ok bool) {
	at, ok = c.place[name]
	return at, ok
}

// A Daemon holds the [daemon] table.
type Daemon struct {
	TUN     string
	Control string // path of the control socket
	State   string // path of the directory for what outlasts the daemon
	Listen  []netip.Addr
	IKEPort uint16
	NATPort uint16
	DSCP    uint8         // of IKE
	Workers int           // 0: one for each processor
	Spin    time.Duration // of a worker that has nothing to do, before it sleeps
	MTU     int           // a ceiling; 0: computed
	MTUMin  int           // no path of IPv4 is believed to carry less; for IPv6 it is 1280 at least
	Log     slog.Level
	JSONLog bool
	Metrics string // host:port; empty: off

	KeyLog        string // path of the folder where keys are written down; empty: off
	NoCrashTokens bool   // tokens for quick crash detection (RFC 6290) are neither given nor taken
	Guard         Guard
	Mark          protect.Mark   // of the tunnels' own packets
	RouteTable    int            // the first routing table; 0: chosen
	RulePriority  int            // of the first rule; 0: chosen
	NoOffloads    bool           // segmentation and checksums are done here, not by the kernel
	NoFastPath    bool           // ESP as IP protocol 50 does not pass by the kernel's IP stack
	Bypass        []netip.Prefix // outside of all tunnels that have a larger remote network
}

// A Guard selects whether the kernel's packet filter enforces the policies.
type Guard uint8

const (
	GuardAuto    Guard = iota // where the system can
	GuardRequire              // or the daemon does not start
	GuardOff
)

func (g Guard) String() string { return [...]string{"auto", "require", "off"}[g] }

// Peer is one [[peer]].
type Peer struct {
	// Peer is the IKE engine's part. Its Children are those that IKE negotiates; its Remote is
	// empty until RemoteName is resolved.
	ike.Peer
	RemoteName string // the DNS name of the peer; empty where remote is an address or absent
	Manual     []Manual
	Order      []string  // the names of all children, IKE's and manual, in the order of the file
	Routing    []Routing // of each child, in the order of Order
	MTU        int       // a ceiling of what is sent to the peer, before encryption; 0: none

	Revocation Revocation
	CRLs       []*revocation.CRL // that are configured
	Staple     bool              // peers that ask for OCSP responses get those for our certificates
	OCSP       [][]byte          // such responses that are configured, in DER
}

// A Revocation selects what is done about certificates of the peer that may be revoked.
type Revocation uint8

const (
	RevocationRelaxed Revocation = iota // those that are revoked are refused
	RevocationStrict                    // so are those of which nothing is found out
	RevocationOff                       // nothing is looked for
)

// RoutingOf returns the routing of the child with a name, or the default routing.
func (p *Peer) RoutingOf(child string) Routing {
	if i := slices.Index(p.Order, child); i >= 0 && i < len(p.Routing) {
		return p.Routing[i]
	}
	return Routing{}
}

// A Routing holds what routes and guard need of a child besides its selectors.
type Routing struct {
	Bypass []netip.Prefix // parts of the remote networks that stay outside of the tunnel (RFC 4301, Section 4.4.1)
	Routes RouteMode
	To     []netip.Prefix // with RoutesListed: what is routed to the device, parts of the remote networks
}

// A RouteMode selects which of a child's remote networks are routed to the device and guarded.
type RouteMode uint8

const (
	RoutesAuto   RouteMode = iota // all
	RoutesNone                    // none: routing is the operator's
	RoutesListed                  // those of Routing.To
)

// A Manual is a child without IKE, whose keys are in the file.
type Manual struct {
	Name          string
	Local, Remote []selector.Selector
	SPIIn, SPIOut uint32 // zero: this direction is absent
	KeyIn, KeyOut []byte // cipher key, salt, then the key of the integrity algorithm
	Transport     bool   // transport mode; Local and Remote have one address each
	Cipher        esp.Cipher
	CipherName    string
	ESN           bool
	ReplayWindow  int
}

// Children returns the number of children of all peers.
func (c *Config) Children() int {
	n := 0
	for i := range c.Peers {
		n += len(c.Peers[i].Order)
	}
	return n
}
