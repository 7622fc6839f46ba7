package ike

import (
	"culvert/ike/child"
	"io"
	"net/netip"
	"time"

	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Config holds the parameters of an Engine. They do not change, except the peers (SetPeers).
type Config struct {
	Rand   io.Reader    // all randomness except that of key exchanges
	KE     suite.Groups // the key exchange methods; tests use fake ones
	SPIs   SPIAllocator // inbound ESP SPIs, chosen by the dataplane so that their low bits are a slot
	Limits EngineLimits // zero fields take their defaults
	// Resources is the number of the dataplane's workers. If there are several, a peer with
	// PerResource is asked for a Child SA for each (RFC 9611).
	Resources int
	Retry     window.RetransmitPlan // zero fields take their defaults
	// CrashTokens let peers know at once that this engine has lost its IKE SAs (RFC 6290).
	CrashTokens CrashTokens

	IKEPort, NATPort uint16 // our UDP ports; default 500 and 4500
	// LocalAddr returns the address that the system would send from to remote, or the zero Addr.
	// NAT detection needs it for a peer without Local: if LocalAddr is nil, such a peer takes us to
	// be behind a NAT. It is called in Handle and must be quick.
	LocalAddr func(remote netip.Addr) netip.Addr
	// HasAddr reports whether an address belongs to this host and its sockets receive there. If it
	// is nil, every address does. It is called in Handle and must be quick.
	HasAddr func(local netip.Addr) bool
}

// SPIAllocator allocates inbound ESP SPIs; with a resource (ipsec.ChildSA), one that names it.
// FreeSPI frees one that no RemoveSA effect will name.
type SPIAllocator interface {
	AllocSPI(resource int) (uint32, error)
	FreeSPI(spi uint32)
}

// EngineLimits bound the engine's state against hostile peers.
type EngineLimits struct {
	CookieThreshold int // half-open SAs above which cookies are demanded (RFC 7296, Section 2.6); default 64
	MaxHalfOpen     int // half-open SAs above which new ones are dropped; default 4096, a sixteenth for one address
	MaxIKESAs       int // all IKE SAs, including rekeyed ones; default 250000
	MaxChildren     int // Child SAs of one IKE SA; default DefaultMaxChildren
}

// Limits that the configuration has to know.
const (
	DefaultMaxChildren = 256   // EngineLimits.MaxChildren
	DefaultMaxParties  = 16384 // Peer.MaxParties
)

// Peer is one configured [[peer]].
type Peer struct {
	Name          string
	Remote        []netip.Addr // tried in turn; empty: the peer always initiates
	RemotePort    uint16       // IKE port of the peer, default 500
	RemoteNATPort uint16       // default 4500
	Local         netip.Addr   // our outer address; zero: the system chooses
	// Transport carries what we initiate; nil: UDP. The peer may use any.
	Transport *ipsec.Transport
	LocalID   identity.ID
	RemoteID  identity.ID // may be a pattern
	PSK       []byte
	// OtherPSKs are accepted of the peer as PSK is, while a secret is being replaced. We prove
	// ourselves by PSK alone.
	OtherPSKs [][]byte
	// Parties makes a party of its own of each identity that RemoteID, a pattern, matches. There
	// must be no Remote: such parties call us.
	Parties    bool
	MaxParties int        // of them at a time; 0: DefaultMaxParties
	Credential Credential // in place of PSK

	Proposals []wire.Proposal // IKE, in order of preference
	Lifetime  time.Duration   // of an IKE SA until its rekeying; jittered downwards by up to a tenth
	// AuthLifetime is how long an authentication is good for, in whole seconds; 0: without a limit.
	AuthLifetime time.Duration
	Encap        EncapMode
	DPD          time.Duration // 0: off
	DPDAction    DPDAction
	Fragment     int // RFC 7383; 0: off
	// PerResource lets both sides make Child SAs for single workers beside the shared one, if the
	// peer supports it (RFC 9611).
	PerResource bool
	Children    []Child
}

// Child is one configured [[peer.child]].
type Child = child.Settings

// StartMode is [[peer.child]] start.
type StartMode = child.StartMode

// Values of StartMode.
const (
	StartTraffic = child.StartTraffic
	StartBoot    = child.StartBoot
	StartNever   = child.StartNever
)

// EncapMode is [[peer]] encap.
type EncapMode uint8

// Values of EncapMode.
const (
	EncapAuto EncapMode = iota
	EncapAlways
	EncapNever
)

// DPDAction is what to do with the children of a peer that does not answer.
type DPDAction uint8

// Values of DPDAction.
const (
	DPDRestart DPDAction = iota
	DPDTrap
	DPDClear
)
