package ike

import (
	"io"
	"net/netip"
	"time"

	"culvert/esp"
	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/selector"
)

// Config is what an Engine is made of; it does not change afterwards, save the peers (SetPeers).
type Config struct {
	Rand   io.Reader     // all randomness but that of key exchanges
	KE     suite.KEMaker // key exchanges; tests plug in a fake group
	SPIs   SPIAllocator  // inbound ESP SPIs: the dataplane chooses them, so that their low bits are a slot
	Limits EngineLimits  // zero fields take their defaults
	// Resources is the number of the dataplane's workers. With more than one of them a peer with PerResource is asked for a Child SA for each (RFC 9611).
	Resources int
	Retry     RetransmitPlan // zero fields take their defaults

	IKEPort, NATPort uint16 // our own UDP ports: 500 and 4500 where zero
	// LocalAddr is the address that the system would send from to remote, or the zero Addr. NAT detection needs it for a peer without a Local
	// of its own: with a nil LocalAddr such a peer takes us to be behind a NAT. It is called in Handle and must be quick.
	LocalAddr func(remote netip.Addr) netip.Addr
	// HasAddr reports whether an address is this host's, and one at which its sockets receive.
	// Nil: all are. It is called in Handle and must be quick.
	HasAddr func(local netip.Addr) bool
}

// SPIAllocator hands out inbound ESP SPIs, for a resource (esp.ChildSA) one that names it. Free returns one that no RemoveSA effect will ever name.
type SPIAllocator interface {
	AllocSPI(resource int) (uint32, error)
	FreeSPI(spi uint32)
}

// EngineLimits bound the engine's state against hostile peers.
type EngineLimits struct {
	CookieThreshold int // half-open SAs above which cookies are demanded (RFC 7296, Section 2.6); default 64
	MaxHalfOpen     int // half-open SAs above which new ones are dropped; default 4096, and a sixteenth from one address
	MaxIKESAs       int // all IKE SAs, those that a rekeying has replaced among them; default 250000
	MaxChildren     int // Child SAs of one IKE SA; default 256
}

// RetransmitPlan is the back-off of requests: First, then First*Factor, ..., Tries retransmissions in all; then the IKE SA is given up.
// Jitter of up to a tenth is added to each. Defaults 1 s, 1.8, 6 (about 75 s in all).
type RetransmitPlan struct {
	First  time.Duration
	Factor float64
	Tries  int
}

// Peer is one configured [[peer]].
type Peer struct {
	Name          string
	Remote        []netip.Addr // empty: only answers. Tried in turn.
	RemotePort    uint16       // IKE port of the peer, default 500
	RemoteNATPort uint16       // default 4500
	Local         netip.Addr   // our outer address; zero: the system chooses
	LocalID       identity.ID
	RemoteID      identity.ID // may be a pattern
	PSK           []byte
	Credential    Credential // in place of PSK

	Proposals []wire.Proposal // IKE, in order of preference
	Lifetime  time.Duration   // IKE SA rekeying; jittered downwards by up to a tenth
	Encap     EncapMode
	DPD       time.Duration // 0: off
	DPDAction DPDAction
	Fragment  int // RFC 7383; 0: off
	// PerResource lets both sides make Child SAs for single workers beside the one that all share, where the peer does too (RFC 9611).
	PerResource bool
	Children    []Child
}

// Child is one configured [[peer.child]] (with IKE; manual keys never reach the engine).
type Child struct {
	Name          string
	Local, Remote []selector.Selector
	Proposals     []wire.Proposal // ESP; a proposal with a TransformKE asks for PFS at CREATE_CHILD_SA
	Start         StartMode
	Lifetime      time.Duration // soft; the hard one comes a tenth later
	Limits        esp.Limits
	ReplayWindow  int
}

// EncapMode is [[peer]] encap.
type EncapMode uint8

// Values of EncapMode.
const (
	EncapAuto EncapMode = iota
	EncapAlways
	EncapNever
)

// StartMode is [[peer.child]] start.
type StartMode uint8

// Values of StartMode.
const (
	StartTraffic StartMode = iota
	StartBoot
	StartNever
)

// DPDAction is what to do with the children of a peer found dead.
type DPDAction uint8

// Values of DPDAction.
const (
	DPDRestart DPDAction = iota
	DPDTrap
	DPDClear
)
